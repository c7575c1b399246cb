void bk_stub(void) {}
