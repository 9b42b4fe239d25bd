// That cuBLASLt takes the attributes of our descriptors, and that they mean the product which was asked for: read back,
// and computed by cuBLAS's own definition.
#include "core/ops/cuda/matmul_descriptors.h"

#include <gtest/gtest.h>

#include <vector>

namespace trireme::ops::cuda {
namespace {

template <class T>
T Get(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute) {
  T value{};
  size_t written = 0;
  EXPECT_EQ(cublasLtMatrixLayoutGetAttribute(layout, attribute, &value, sizeof value, &written), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(written, sizeof value);
  return value;
}

template <class T>
T Get(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute) {
  T value{};
  size_t written = 0;
  EXPECT_EQ(cublasLtMatmulDescGetAttribute(product, attribute, &value, sizeof value, &written), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(written, sizeof value);
  return value;
}

// A matrix as a layout describes it.
struct Columns {
  explicit Columns(cublasLtMatrixLayout_t layout)
      : rows(Get<uint64_t>(layout, CUBLASLT_MATRIX_LAYOUT_ROWS)),
        columns(Get<uint64_t>(layout, CUBLASLT_MATRIX_LAYOUT_COLS)),
        leading(Get<int64_t>(layout, CUBLASLT_MATRIX_LAYOUT_LD)) {}
  size_t At(uint64_t row, uint64_t column) const { return row + column * static_cast<uint64_t>(leading); }
  uint64_t rows, columns;
  int64_t leading;
};

// D = op(A) op(B) + bias of D's rows, as cuBLASLt's manual defines it.
std::vector<double> ByDefinition(const MatmulDescriptors& descriptors, const std::vector<double>& first,
                                 const std::vector<double>& second, const std::vector<double>& bias) {
  const Columns a(descriptors.first()), b(descriptors.second()), d(descriptors.result());
  const bool transpose_a = Get<int32_t>(descriptors.product(), CUBLASLT_MATMUL_DESC_TRANSA) == CUBLAS_OP_T;
  const bool transpose_b = Get<int32_t>(descriptors.product(), CUBLASLT_MATMUL_DESC_TRANSB) == CUBLAS_OP_T;
  const uint64_t k = transpose_a ? a.rows : a.columns;
  EXPECT_EQ(k, transpose_b ? b.columns : b.rows);
  EXPECT_EQ(d.rows, transpose_a ? a.columns : a.rows);
  EXPECT_EQ(d.columns, transpose_b ? b.rows : b.columns);
  std::vector<double> result(d.rows * d.columns);
  for (uint64_t i = 0; i < d.rows; ++i) {
    for (uint64_t j = 0; j < d.columns; ++j) {
      double sum = bias.empty() ? 0 : bias.at(i);
      for (uint64_t l = 0; l < k; ++l) {
        sum += first.at(transpose_a ? a.At(l, i) : a.At(i, l)) * second.at(transpose_b ? b.At(j, l) : b.At(l, j));
      }
      result.at(d.At(i, j)) = sum;
    }
  }
  return result;
}

TEST(MatmulDescriptors, MeanTheRowMajorProduct) {
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      for (const bool with_bias : {false, true}) {
        Matmul m;
        m.transpose_a = transpose_a;
        m.transpose_b = transpose_b;
        m.m = 3;
        m.n = 5;
        m.k = 4;
        m.bias = with_bias;
        std::vector<double> a(12), b(20), bias(with_bias ? 5 : 0), expected(15);
        for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<double>(i * i % 7);
        for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<double>(i * i * i % 11) - 5;
        for (size_t i = 0; i < bias.size(); ++i) bias[i] = 100.0 * static_cast<double>(i);
        for (size_t i = 0; i < 3; ++i) {
          for (size_t j = 0; j < 5; ++j) {
            double sum = with_bias ? bias[j] : 0;
            for (size_t l = 0; l < 4; ++l) {
              sum += a[transpose_a ? l * 3 + i : i * 4 + l] * b[transpose_b ? j * 4 + l : l * 5 + j];
            }
            expected[i * 5 + j] = sum;
          }
        }
        EXPECT_EQ(ByDefinition(MatmulDescriptors(m, bias.data()), b, a, bias), expected)
            << transpose_a << transpose_b << with_bias;
      }
    }
  }
}

TEST(MatmulDescriptors, HaveTheTypesAndTheEpilogue) {
  const float place = 0;
  for (const bool bias : {false, true}) {
    for (const bool relu : {false, true}) {
      Matmul m;
      m.m = m.n = m.k = 8;
      m.type = DataType::kBfloat16;
      m.bias = bias;
      m.relu = relu;
      const MatmulDescriptors descriptors(m, bias ? &place : nullptr);
      const auto epilogue = Get<uint32_t>(descriptors.product(), CUBLASLT_MATMUL_DESC_EPILOGUE);
      EXPECT_EQ(epilogue, bias ? (relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS)
                               : (relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT));
      EXPECT_EQ(Get<uint32_t>(descriptors.first(), CUBLASLT_MATRIX_LAYOUT_TYPE), uint32_t{CUDA_R_16BF});
      EXPECT_EQ(Get<uint32_t>(descriptors.second(), CUBLASLT_MATRIX_LAYOUT_TYPE), uint32_t{CUDA_R_16BF});
      EXPECT_EQ(Get<uint32_t>(descriptors.result(), CUBLASLT_MATRIX_LAYOUT_TYPE), uint32_t{CUDA_R_32F});
      if (!bias) continue;
      EXPECT_EQ(Get<const void*>(descriptors.product(), CUBLASLT_MATMUL_DESC_BIAS_POINTER), &place);
      EXPECT_EQ(Get<int32_t>(descriptors.product(), CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE), CUDA_R_16BF);
    }
  }
}

TEST(MatmulDescriptors, RoundToTf32OnlyWhereTold) {
  Matmul m;
  m.m = m.n = m.k = 8;
  const auto compute = [&] {
    return Get<int32_t>(MatmulDescriptors(m, nullptr).product(), CUBLASLT_MATMUL_DESC_COMPUTE_TYPE);
  };
  EXPECT_EQ(compute(), CUBLAS_COMPUTE_32F);
  m.tf32 = true;
  EXPECT_EQ(compute(), CUBLAS_COMPUTE_32F_FAST_TF32);
  m.type = m.result_type = DataType::kFloat16;
  EXPECT_EQ(compute(), CUBLAS_COMPUTE_32F);
}

TEST(MatmulPreference, IsTakenByCublas) {
  const MatmulPreference preference;
  uint32_t schemes = 0;
  size_t written = 0;
  ASSERT_EQ(cublasLtMatmulPreferenceGetAttribute(preference.get(), CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes,
                                                 sizeof schemes, &written),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(schemes, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
}

}  // namespace
}  // namespace trireme::ops::cuda
