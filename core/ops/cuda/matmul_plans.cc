#include "core/ops/cuda/matmul_plans.h"

#include "absl/strings/str_cat.h"
#include "core/device/device.h"

namespace trireme::ops::cuda {
namespace {

// What cuBLAS recommends for Hopper.
constexpr uint64_t kMostWorkspace = uint64_t{32} << 20;
// What all of our tensors have.
constexpr uint32_t kAlignment = 16;

void Check(cublasStatus_t status, absl::string_view what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw DeviceError(FromCublas(status, what));
}

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

// A row-major [rows, columns] matrix, which is a column-major [columns, rows] one to cuBLAS.
class Layout {
 public:
  Layout(DataType type, int64_t rows, int64_t columns) {
    Check(cublasLtMatrixLayoutCreate(&layout_, CudaType(type), static_cast<uint64_t>(columns),
                                     static_cast<uint64_t>(rows), columns),
          "describing a matrix");
  }
  ~Layout() { cublasLtMatrixLayoutDestroy(layout_); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
  cublasLtMatrixLayout_t get() const { return layout_; }

 private:
  cublasLtMatrixLayout_t layout_ = nullptr;
};

// Row-major c = a b is column-major c' = b' a': b is cuBLAS's first operand.
class Product {
 public:
  Product(const Matmul& m, const void* bias) {
    const cublasComputeType_t compute =
        m.type == DataType::kFloat32 && m.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    Check(cublasLtMatmulDescCreate(&desc_, compute, CUDA_R_32F), "describing a matrix product");
    try {
      Set(CUBLASLT_MATMUL_DESC_TRANSA, m.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
      Set(CUBLASLT_MATMUL_DESC_TRANSB, m.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
      Set(CUBLASLT_MATMUL_DESC_EPILOGUE, Epilogue(m));
      if (m.bias) {
        Set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CudaType(m.type));
        Set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
      }
    } catch (...) {
      cublasLtMatmulDescDestroy(desc_);
      throw;
    }
  }
  ~Product() { cublasLtMatmulDescDestroy(desc_); }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;
  cublasLtMatmulDesc_t get() const { return desc_; }

 private:
  template <class T>
  void Set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    Check(cublasLtMatmulDescSetAttribute(desc_, attribute, &value, sizeof value), "describing a matrix product");
  }

  cublasLtMatmulDesc_t desc_ = nullptr;
};

class Preference {
 public:
  Preference() {
    Check(cublasLtMatmulPreferenceCreate(&preference_), "describing a choice of algorithms");
    try {
      Set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMostWorkspace);
      Set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
      for (const auto attribute :
           {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
        Set(attribute, kAlignment);
      }
    } catch (...) {
      cublasLtMatmulPreferenceDestroy(preference_);
      throw;
    }
  }
  ~Preference() { cublasLtMatmulPreferenceDestroy(preference_); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;
  cublasLtMatmulPreference_t get() const { return preference_; }

 private:
  template <class T>
  void Set(cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
    Check(cublasLtMatmulPreferenceSetAttribute(preference_, attribute, &value, sizeof value),
          "describing a choice of algorithms");
  }

  cublasLtMatmulPreference_t preference_ = nullptr;
};

}  // namespace

Status FromCublas(cublasStatus_t status, absl::string_view what) {
  if (status == CUBLAS_STATUS_SUCCESS) return absl::OkStatus();
  const std::string message =
      absl::StrCat(what, ": ", cublasGetStatusString(status), " (", cublasGetStatusName(status), ")");
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return absl::UnimplementedError(message);
  if (status == CUBLAS_STATUS_ALLOC_FAILED) return absl::ResourceExhaustedError(message);
  return absl::InternalError(message);
}

void MatmulPlans::Run(Device& device, const Matmul& m, const void* a, const void* b, const void* bias, void* c) {
  CHECK_GT(m.m * m.n * m.k, 0) << m.m << " x " << m.n << " x " << m.k;
  for (const void* pointer : {a, b, bias, static_cast<const void*>(c)}) {
    CHECK_EQ(reinterpret_cast<uintptr_t>(pointer) % kAlignment, 0u) << "an operand of a matrix product";
  }
  const Product product(m, bias);
  const Layout first(m.type, m.transpose_b ? m.n : m.k, m.transpose_b ? m.k : m.n);
  const Layout second(m.type, m.transpose_a ? m.k : m.m, m.transpose_a ? m.m : m.k);
  const Layout result(m.result_type, m.m, m.n);
  const Key key = {m.transpose_a,
                   m.transpose_b,
                   m.m,
                   m.n,
                   m.k,
                   static_cast<int64_t>(m.type),
                   static_cast<int64_t>(m.result_type),
                   m.accumulate,
                   m.bias,
                   m.relu,
                   m.tf32};
  auto found = algorithms_.find(key);
  if (found == algorithms_.end()) {
    const Preference preference;
    cublasLtMatmulHeuristicResult_t best = {};
    int count = 0;
    const std::string what = absl::StrCat("choosing an algorithm for a matrix product of ", m.m, " x ", m.n, " x ", m.k,
                                          " in ", DataTypeName(m.type));
    Check(cublasLtMatmulAlgoGetHeuristic(handle_, product.get(), first.get(), second.get(), result.get(), result.get(),
                                         preference.get(), 1, &best, &count),
          what);
    if (count == 0) throw DeviceError(FromCublas(CUBLAS_STATUS_NOT_SUPPORTED, what));
    Check(best.state, what);
    found = algorithms_.emplace(key, Algorithm{best.algo, best.workspaceSize}).first;
  }
  const Algorithm& chosen = found->second;
  Tensor workspace;
  if (chosen.workspace_bytes > 0) {
    workspace = Tensor::Empty(device, {static_cast<int64_t>(chosen.workspace_bytes)}, DataType::kUint8);
  }
  const float one = 1.0f, beta = m.accumulate ? 1.0f : 0.0f;
  Check(cublasLtMatmul(handle_, product.get(), &one, b, first.get(), a, second.get(), &beta, c, result.get(), c,
                       result.get(), &chosen.algorithm, workspace.defined() ? workspace.raw() : nullptr,
                       chosen.workspace_bytes, static_cast<cudaStream_t>(device.compute_stream().native())),
        "running a matrix product");
}

}  // namespace trireme::ops::cuda
