#include "core/ops/cuda/matmul_descriptors.h"

#include "core/device/cuda/cuda_error.h"

namespace trireme::ops::cuda {
namespace {

// What cuBLAS recommends for Hopper.
constexpr uint64_t kMostWorkspace = uint64_t{32} << 20;

cudaDataType CudaType(DataType type) {
  switch (type) {
    case DataType::kFloat32:
      return CUDA_R_32F;
    case DataType::kBfloat16:
      return CUDA_R_16BF;
    case DataType::kFloat16:
      return CUDA_R_16F;
    default:
      LOG(FATAL) << "no matrix products in " << DataTypeName(type);
      return CUDA_R_32F;
  }
}

cublasLtEpilogue_t Epilogue(const Matmul& matmul) {
  if (matmul.bias) return matmul.relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
  return matmul.relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT;
}

}  // namespace

MatrixLayout::MatrixLayout(DataType type, int64_t rows, int64_t columns) {
  CheckCublas(cublasLtMatrixLayoutCreate(&layout_, CudaType(type), static_cast<uint64_t>(columns),
                                         static_cast<uint64_t>(rows), columns),
              "describing a matrix");
}

MatmulDescriptors::MatmulDescriptors(const Matmul& m, const void* bias)
    : first_(m.type, m.transpose_b ? m.n : m.k, m.transpose_b ? m.k : m.n),
      second_(m.type, m.transpose_a ? m.k : m.m, m.transpose_a ? m.m : m.k),
      result_(m.result_type, m.m, m.n) {
  const bool tf32 = m.type == DataType::kFloat32 && m.tf32;
  CheckCublas(cublasLtMatmulDescCreate(&product_, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
              "describing a matrix product");
  try {
    Set(CUBLASLT_MATMUL_DESC_TRANSA, m.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    Set(CUBLASLT_MATMUL_DESC_TRANSB, m.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    Set(CUBLASLT_MATMUL_DESC_EPILOGUE, Epilogue(m));
    if (m.bias) {
      Set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CudaType(m.type));
      Set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    }
  } catch (...) {
    cublasLtMatmulDescDestroy(product_);
    throw;
  }
}

template <class T>
void MatmulDescriptors::Set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
  CheckCublas(cublasLtMatmulDescSetAttribute(product_, attribute, &value, sizeof value), "describing a matrix product");
}

MatmulPreference::MatmulPreference() {
  CheckCublas(cublasLtMatmulPreferenceCreate(&preference_), "describing a choice of algorithms");
  try {
    Set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMostWorkspace);
    Set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      Set(attribute, kMatmulAlignment);
    }
  } catch (...) {
    cublasLtMatmulPreferenceDestroy(preference_);
    throw;
  }
}

template <class T>
void MatmulPreference::Set(cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  CheckCublas(cublasLtMatmulPreferenceSetAttribute(preference_, attribute, &value, sizeof value),
              "describing a choice of algorithms");
}

}  // namespace trireme::ops::cuda
