// Filled by the tests.
