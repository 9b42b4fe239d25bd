// cuBLASLt's descriptors of a matrix product: made, given attributes, destroyed. Making them needs no GPU. Only in a
// build with CUDA.
#ifndef TRIREME_CORE_OPS_CUDA_MATMUL_DESCRIPTORS_H_
#define TRIREME_CORE_OPS_CUDA_MATMUL_DESCRIPTORS_H_

#include <cublasLt.h>

#include "core/tensor/tensor.h"

namespace trireme::ops::cuda {

// Row-major c [m, n] = op(a) op(b) (+ c, if `accumulate`) (+ bias [n]) (then relu), where op transposes if told.
struct Matmul {
  bool transpose_a = false, transpose_b = false;
  int64_t m = 0, n = 0, k = 0;
  DataType type = DataType::kFloat32;         // of a, b and bias
  DataType result_type = DataType::kFloat32;  // of c: the same, or float32
  bool accumulate = false;
  bool bias = false;
  bool relu = false;
  bool tf32 = false;  // float32 operands may be rounded to TF32
};

// cuBLAS counts matrices by columns: a row-major [rows, columns] matrix is a [columns, rows] one to it.
class MatrixLayout {
 public:
  MatrixLayout(DataType type, int64_t rows, int64_t columns);
  ~MatrixLayout() { cublasLtMatrixLayoutDestroy(layout_); }
  MatrixLayout(const MatrixLayout&) = delete;
  MatrixLayout& operator=(const MatrixLayout&) = delete;
  cublasLtMatrixLayout_t get() const { return layout_; }

 private:
  cublasLtMatrixLayout_t layout_ = nullptr;
};

// And so c = op(a) op(b) is c' = op(b)' op(a)': b is the first operand to cuBLAS, with b's transposition, a the second.
class MatmulDescriptors {
 public:
  // `bias` is null if there is none.
  MatmulDescriptors(const Matmul& matmul, const void* bias);
  ~MatmulDescriptors() { cublasLtMatmulDescDestroy(product_); }
  MatmulDescriptors(const MatmulDescriptors&) = delete;
  MatmulDescriptors& operator=(const MatmulDescriptors&) = delete;

  cublasLtMatmulDesc_t product() const { return product_; }
  cublasLtMatrixLayout_t first() const { return first_.get(); }
  cublasLtMatrixLayout_t second() const { return second_.get(); }
  cublasLtMatrixLayout_t result() const { return result_.get(); }

 private:
  template <class T>
  void Set(cublasLtMatmulDescAttributes_t attribute, const T& value);

  MatrixLayout first_, second_, result_;
  cublasLtMatmulDesc_t product_ = nullptr;
};

// What of cuBLASLt's algorithms may be chosen: partial sums are added in float32, and in order.
class MatmulPreference {
 public:
  MatmulPreference();
  ~MatmulPreference() { cublasLtMatmulPreferenceDestroy(preference_); }
  MatmulPreference(const MatmulPreference&) = delete;
  MatmulPreference& operator=(const MatmulPreference&) = delete;
  cublasLtMatmulPreference_t get() const { return preference_; }

 private:
  template <class T>
  void Set(cublasLtMatmulPreferenceAttributes_t attribute, const T& value);

  cublasLtMatmulPreference_t preference_ = nullptr;
};

// The alignment that operands are promised to have, in bytes; all of our tensors have it.
inline constexpr uint32_t kMatmulAlignment = 16;

}  // namespace trireme::ops::cuda

#endif  // TRIREME_CORE_OPS_CUDA_MATMUL_DESCRIPTORS_H_
