/// Rounding of columns one after the other, a row to a lane. Products and differences are rounded one by one, so that
/// every instruction set gives the same bits.

static bool quant_spreading(const bk_rounding *g, size_t first, size_t rows, float *columns) {
#pragma clang fp contract(off)
  // Lanes without a row stay zero.
  memset(columns, 0, g->columns * VW * sizeof(float));
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < g->columns; c++) columns[c * VW + r] = g->w[(first + r) * g->w_stride + c];
  vi odd = (vi)0;
  vf scale = splat(1.0f), offset = splat(0.0f);
  for (size_t c = 0; c < g->columns; c++) {
    if (c == 0 || (g->first + c) % g->group == 0) {
      const float *scales = g->scales + first * g->scale_stride + (g->first + c) / g->group;
      for (size_t r = 0; r < rows; r++) scale[r] = scales[r * g->scale_stride];
      const float *offsets = g->offsets ? g->offsets + (scales - g->scales) : NULL;
      for (size_t r = 0; r < rows && offsets; r++) offset[r] = offsets[r * g->scale_stride];
    }
    const float *influence = g->factor + c * g->factor_stride;
    const vf value = load(columns + c * VW);
    const vf place = value / scale + offset;
    const vf code = nearest_even(min_v(max_v(place, splat(g->low)), splat(g->high)));
    const vf rounded = (code - offset) * scale;
    const vf error = (value - rounded) / splat(influence[c]);
    odd |= (as_u(error) & 0x7f800000u) == 0x7f800000u;
    for (size_t other = c; other < g->columns; other++) {
      const vf change = error * splat(influence[other]);
      store(columns + other * VW, load(columns + other * VW) - change);
    }
    for (size_t r = 0; r < rows; r++) {
      g->errors[(first + r) * g->columns + c] = error[r];
      g->codes[(first + r) * g->codes_stride + c] = (int8_t)code[r];
    }
  }
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < g->columns; c++) g->w[(first + r) * g->w_stride + c] = columns[c * VW + r];
  int any = 0;
  for (int k = 0; k < VW; k++) any |= odd[k];
  return any == 0;
}
