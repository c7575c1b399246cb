/// Defines BK_TABLE, the table of the kernels the including file has compiled. BK_NAME is the instruction set's name.
#ifdef BK_DOT_BF16
#define PAIRS_ROWS BK_MR
#define PAIRS gemm_pairs
#else
#define PAIRS_ROWS 0
#define PAIRS NULL
#endif
const bk_table BK_TABLE = {
    .name = BK_NAME,
    .gemm_rows = BK_MR,
    .pairs_rows = PAIRS_ROWS,
    .gemm = {gemm_f32, gemm_bf16, gemm_f16, gemm_bf16_rows},
    .gemm_pairs = PAIRS,
    .dots = {dots_f32, dots_bf16, dots_f16},
    .epilogue = epilogue,
    .convert = {{NULL, bf16_to_f32, f16_to_f32}, {f32_to_bf16, NULL, NULL}, {f32_to_f16, NULL, NULL}},
    .cast = {{NULL, NULL, NULL}, {cast_f32_to_bf16, NULL, cast_f16_to_bf16}, {cast_f32_to_f16, cast_bf16_to_f16, NULL}},
    .cast_f64 = cast_f64,
    .transpose = transpose,
    .softmax = softmax_row,
    .layer_norm = layer_norm_row,
    .rms_norm = rms_norm_row,
    .moments = moments_row,
    .affine = affine_row,
    .unary = unary_row,
    .binary = binary_row,
    .swiglu = swiglu_row,
    .rotary = rotary_row,
    .mask = mask_row,
    .softmax_step = softmax_step,
    .scale = scale_row,
    .widen = {doubles_f32, doubles_bf16, doubles_f16, doubles_int16_t, doubles_uint16_t, doubles_int32_t,
              doubles_uint32_t, doubles_int64_t, doubles_uint64_t},
    .summarize = summarize,
    .difference = difference,
    .mix_row = {mix_row_8, mix_row_16, mix_row_32, mix_row_64},
    .encode_blocks = encode_blocks,
    .quant_range = quant_range,
    .quant_int = quant_int,
    .quant_e4m3 = quant_e4m3,
    .quant_fit = quant_fit,
    .quant_mx = quant_mx,
    .quant_mx_error = quant_mx_error,
    .magnitude_row = magnitude_row,
    .codes_row = codes_row,
    .widen_i8 = widen_i8,
    .widen_e4m3 = widen_e4m3,
    .widen_e2m1 = widen_e2m1,
    .dots_i8 = dots_i8,
    .dots_i4 = dots_i4,
    .probe_read = probe_read,
    .probe_fma = probe_fma,
};
