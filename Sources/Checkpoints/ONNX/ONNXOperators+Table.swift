extension ONNXOperators {
  /// A line for each operator of ONNX in any version: its name; the least number of inputs and a sign for each that
  /// there may be, `*` when the last may come often; the same of outputs; attributes with the signs of their types.
  /// Capital letters are element types that are the same wherever they stand in a line, small ones are given types, a
  /// dot is any type. Made by `fixtures/checkpoints/onnx/operators.py`.
  static let table = """
    ATen 0.* 0.*
    Abs 1A 1A consumed_inputs:I
    Acos 1A 1A
    Acosh 1A 1A
    Add 2AA 1A axis:i broadcast:i consumed_inputs:I
    Affine 0.* 0.*
    AffineGrid 2Al 1A align_corners:i
    And 2bb 1b axis:i broadcast:i
    ArgMax 1. 1l axis:i keepdims:i select_last_index:i
    ArgMin 1. 1l axis:i keepdims:i select_last_index:i
    Asin 1A 1A
    Asinh 1A 1A
    Atan 1A 1A
    Atanh 1A 1A
    Attention 3AAB.ABl 1AABA is_causal:i kv_num_heads:i left_window_size:i q_num_heads:i qk_matmul_output_mode:i \
    right_window_size:i scale:f softcap:f softmax_precision:i
    AveragePool 1A 1A auto_pad:s ceil_mode:i count_include_pad:i dilations:I kernel_shape:I pads:I strides:I
    BatchNormalization 5ABBCC 1ACCAA consumed_inputs:I epsilon:f is_test:i momentum:f spatial:i training_mode:i
    Bernoulli 1. 1. dtype:i seed:f
    BitCast 1. 1. to:i
    BitShift 2AA 1A direction:s
    BitwiseAnd 2AA 1A
    BitwiseNot 1A 1A
    BitwiseOr 2AA 1A
    BitwiseXor 2AA 1A
    BlackmanWindow 1. 1. output_datatype:i periodic:i
    Cast 1. 1. round_mode:s saturate:i to:is
    CastLike 2.A 1A round_mode:s saturate:i
    CausalConvWithState 2AAAA 2AA activation:s
    Ceil 1A 1A consumed_inputs:I
    Celu 1A 1A alpha:f
    CenterCropPad 2A. 1A axes:I
    Clip 1AAA 1A consumed_inputs:I max:f min:f
    Col2Im 3All 1A dilations:I pads:I strides:I
    Compress 2Ab 1A axis:i
    Concat 1A* 1A axis:i
    ConcatFromSequence 1. 1. axis:i new_axis:i
    Constant 0 1. sparse_value:p value:t value_float:f value_floats:F value_int:i value_ints:I value_string:s \
    value_strings:S
    ConstantFill 0.* 0.*
    ConstantOfShape 1l 1. value:t
    Conv 2AAA 1A auto_pad:s dilations:I group:i kernel_shape:I pads:I strides:I
    ConvInteger 2ABAB 1i auto_pad:s dilations:I group:i kernel_shape:I pads:I strides:I
    ConvTranspose 2AAA 1A auto_pad:s dilations:I group:i kernel_shape:I output_padding:I output_shape:I pads:I \
    strides:I
    Cos 1A 1A
    Cosh 1A 1A
    Crop 0.* 0.*
    CumProd 2A. 1A exclusive:i reverse:i
    CumSum 2A. 1A exclusive:i reverse:i
    DFT 1A.l 1A axis:i inverse:i onesided:i
    DeformConv 3AAAAA 1A dilations:I group:i kernel_shape:I offset_group:i pads:I strides:I
    DepthToSpace 1A 1A blocksize:i mode:s
    DequantizeLinear 2A.A 1. axis:i block_size:i output_dtype:i
    Det 1A 1A
    Div 2AA 1A axis:i broadcast:i consumed_inputs:I
    Dropout 1A.b 1A. consumed_inputs:I is_test:i ratio:f seed:i
    DynamicQuantizeLinear 1f 3ufu
    DynamicSlice 0.* 0.*
    Einsum 1A* 1A equation:s
    Elu 1A 1A alpha:f consumed_inputs:I
    Equal 2AA 1b axis:i broadcast:i
    Erf 1A 1A
    Exp 1A 1A consumed_inputs:I
    Expand 2Al 1A
    EyeLike 1. 1. dtype:i k:i
    Flatten 1A 1A axis:i
    Floor 1A 1A consumed_inputs:I
    GRU 3AAAAiA 0AA activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i layout:i \
    linear_before_reset:i output_sequence:i
    GRUUnit 0.* 0.*
    Gather 2A. 1A axis:i
    GatherElements 2A. 1A axis:i
    GatherND 2Al 1A batch_dims:i
    Gelu 1A 1A approximate:s
    Gemm 2AAA 1A alpha:f beta:f broadcast:i transA:i transB:i
    GivenTensorFill 0.* 0.*
    GlobalAveragePool 1A 1A
    GlobalLpPool 1A 1A p:fi
    GlobalMaxPool 1A 1A
    Greater 2AA 1b axis:i broadcast:i
    GreaterOrEqual 2AA 1b
    GridSample 2A. 1A align_corners:i mode:s padding_mode:s
    GroupNormalization 3AAA 1A epsilon:f num_groups:i stash_type:i
    HammingWindow 1. 1. output_datatype:i periodic:i
    HannWindow 1. 1. output_datatype:i periodic:i
    HardSigmoid 1A 1A alpha:f beta:f consumed_inputs:I
    HardSwish 1A 1A
    Hardmax 1A 1A axis:i
    Identity 1A 1A
    If 1b 1.* else_branch:g then_branch:g
    ImageDecoder 1u 1u pixel_format:s
    ImageScaler 0.* 0.*
    InstanceNormalization 3AAA 1A consumed_inputs:I epsilon:f
    IsInf 1. 1b detect_negative:i detect_positive:i
    IsNaN 1. 1b
    LRN 1A 1A alpha:f beta:f bias:f size:i
    LSTM 3AAAAiAAA 0AAA activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i \
    input_forget:i layout:i output_sequence:i
    LayerNormalization 2AAA 1ABB axis:i epsilon:f stash_type:i
    LeakyRelu 1A 1A alpha:f consumed_inputs:I
    Less 2AA 1b axis:i broadcast:i
    LessOrEqual 2AA 1b
    LinearAttention 3AAABAA 2AB chunk_size:i kv_num_heads:i q_num_heads:i scale:f update_rule:s
    Log 1A 1A consumed_inputs:I
    LogSoftmax 1A 1A axis:i
    Loop 2lb.* 1.* body:g
    LpNormalization 1A 1A axis:i p:i
    LpPool 1A 1A auto_pad:s ceil_mode:i dilations:I kernel_shape:I p:fi pads:I strides:I
    MatMul 2AA 1A
    MatMulInteger 2ABAB 1i
    Max 1A* 1A consumed_inputs:I
    MaxPool 1A 1Al auto_pad:s ceil_mode:i dilations:I kernel_shape:I pads:I storage_order:i strides:I
    MaxRoiPool 2AA 1A pooled_shape:I spatial_scale:f
    MaxUnpool 2All 1A kernel_shape:I pads:I strides:I
    Mean 1A* 1A consumed_inputs:I
    MeanVarianceNormalization 1A 1A axes:I
    MelWeightMatrix 5AAABB 1. output_datatype:i
    Min 1A* 1A consumed_inputs:I
    Mish 1A 1A
    Mod 2AA 1A fmod:i
    Mul 2AA 1A axis:i broadcast:i consumed_inputs:I
    Multinomial 1. 1. dtype:i sample_size:i seed:f
    Neg 1A 1A consumed_inputs:I
    NegativeLogLikelihoodLoss 2A.A 1A ignore_index:i reduction:s
    NonMaxSuppression 2fflff 1l center_point_box:i
    NonZero 1. 1l
    Not 1b 1b
    OneHot 3..A 1A axis:i
    Optional 0. 1. type:o
    OptionalGetElement 1. 1.
    OptionalHasElement 0. 1b
    Or 2bb 1b axis:i broadcast:i
    PRelu 2AA 1A consumed_inputs:I
    Pad 1AlA. 1A mode:s paddings:I pads:I value:f
    ParametricSoftplus 0.* 0.*
    Pow 2A. 1A axis:i broadcast:i
    QLinearConv 8AfABfBfCi 1C auto_pad:s dilations:I group:i kernel_shape:I pads:I strides:I
    QLinearMatMul 8ABACBCBD 1D
    QuantizeLinear 2..A 1A axis:i block_size:i output_dtype:i precision:i saturate:i
    RMSNormalization 2.A 1A axis:i epsilon:f stash_type:i
    RNN 3AAAAiA 0AA activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i layout:i \
    output_sequence:i
    RandomNormal 0 1. dtype:i mean:f scale:f seed:f shape:I
    RandomNormalLike 1. 1. dtype:i mean:f scale:f seed:f
    RandomUniform 0 1. dtype:i high:f low:f seed:f shape:I
    RandomUniformLike 1. 1. dtype:i high:f low:f seed:f
    Range 3AAA 1A stash_type:i
    Reciprocal 1A 1A consumed_inputs:I
    ReduceL1 1Al 1A axes:I keepdims:i noop_with_empty_axes:i
    ReduceL2 1Al 1A axes:I keepdims:i noop_with_empty_axes:i
    ReduceLogSum 1Al 1A axes:I keepdims:i noop_with_empty_axes:i
    ReduceLogSumExp 1Al 1A axes:I keepdims:i noop_with_empty_axes:i
    ReduceMax 1Al 1A axes:I keepdims:i noop_with_empty_axes:i
    ReduceMean 1Al 1A axes:I keepdims:i noop_with_empty_axes:i
    ReduceMin 1Al 1A axes:I keepdims:i noop_with_empty_axes:i
    ReduceProd 1Al 1A axes:I keepdims:i noop_with_empty_axes:i
    ReduceSum 1Al 1A axes:I keepdims:i noop_with_empty_axes:i
    ReduceSumSquare 1Al 1A axes:I keepdims:i noop_with_empty_axes:i
    RegexFullMatch 1s 1b pattern:s
    Relu 1A 1A consumed_inputs:I
    Reshape 1Al 1A allowzero:i consumed_inputs:I shape:I
    Resize 1A.fl 1A antialias:i axes:I coordinate_transformation_mode:s cubic_coeff_a:f exclude_outside:i \
    extrapolation_value:f keep_aspect_ratio_policy:s mode:s nearest_mode:s
    ReverseSequence 2Al 1A batch_axis:i time_axis:i
    RoiAlign 3AAl 1A coordinate_transformation_mode:s mode:s output_height:i output_width:i sampling_ratio:i \
    spatial_scale:f
    RotaryEmbedding 3AAAl 1A interleaved:i num_heads:i rotary_embedding_dim:i
    Round 1A 1A
    STFT 2ABAB 1A onesided:i
    Scale 0.* 0.*
    ScaledTanh 0.* 0.*
    Scan 1..* 1.* body:g directions:I num_scan_inputs:i scan_input_axes:I scan_input_directions:I scan_output_axes:I \
    scan_output_directions:I
    Scatter 3A.A 1A axis:i
    ScatterElements 3A.A 1A axis:i reduction:s
    ScatterND 3AlA 1A reduction:s
    Selu 1A 1A alpha:f consumed_inputs:I gamma:f
    SequenceAt 2.. 1.
    SequenceConstruct 1.* 1.
    SequenceEmpty 0 1. dtype:i
    SequenceErase 1A. 1A
    SequenceInsert 2A.. 1A
    SequenceLength 1. 1l
    SequenceMap 1..* 1.* body:g
    Shape 1. 1l end:i start:i
    Shrink 1A 1A bias:f lambd:f
    Sigmoid 1A 1A consumed_inputs:I
    Sign 1A 1A
    Sin 1A 1A
    Sinh 1A 1A
    Size 1. 1l
    Slice 1ABBBB 1A axes:I ends:I starts:I
    Softmax 1A 1A axis:i
    SoftmaxCrossEntropyLoss 2A.A 1AA ignore_index:i reduction:s
    Softplus 1A 1A
    Softsign 1A 1A
    SpaceToDepth 1A 1A blocksize:i mode:s
    Split 1A. 1A* axis:i num_outputs:i split:I
    SplitToSequence 1.. 1. axis:i keepdims:i
    Sqrt 1A 1A consumed_inputs:I
    Squeeze 1Al 1A axes:I
    StringConcat 2ss 1s
    StringNormalizer 1s 1s case_change_action:s is_case_sensitive:i locale:s stopwords:S
    StringSplit 1s 2sl delimiter:s maxsplit:i
    Sub 2AA 1A axis:i broadcast:i consumed_inputs:I
    Sum 1A* 1A consumed_inputs:I
    SwiGLU 2AA 1A alpha:f
    Swish 1A 1A alpha:f
    Tan 1A 1A
    Tanh 1A 1A consumed_inputs:I
    TensorScatter 2AAl 1A axis:i mode:s
    TfIdfVectorizer 1. 1f max_gram_length:i max_skip_count:i min_gram_length:i mode:s ngram_counts:I ngram_indexes:I \
    pool_int64s:I pool_strings:S weights:F
    ThresholdedRelu 1A 1A alpha:f
    Tile 2A.A 1A
    TopK 1Al 2Al axis:i k:i largest:i sorted:i
    Transpose 1A 1A perm:I
    Trilu 1Al 1A upper:i
    Unique 1A 1Alll axis:i sorted:i
    Unsqueeze 1Al 1A axes:I
    Upsample 1Af 1A height_scale:f mode:s scales:F width_scale:f
    Where 3bAA 1A
    Xor 2bb 1b axis:i broadcast:i
    """
}
