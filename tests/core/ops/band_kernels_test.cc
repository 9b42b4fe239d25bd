// The kernels that are compiled for several kinds of CPU give the same on each.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/ops/depthwise_kernels.h"
#include "core/ops/norm_kernels.h"
#include "core/ops/product_kernels.h"

namespace trireme::ops {
namespace {

// So many that every kind of rest of a vector occurs.
constexpr int64_t kChannels[] = {1, 8, 16, 24, 39, 72};
constexpr Activation kActivations[] = {Activation::kNone,  Activation::kRelu,      Activation::kLeakyRelu,
                                       Activation::kRelu6, Activation::kHardSwish, Activation::kSilu};

// But for the rounding of sums, of which a compiler may fuse more on one than on the other.
template <class T>
void ExpectSame(const std::vector<T>& a, const std::vector<T>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-5 * (1 + std::abs(a[i]))) << "at " << i;
}

class BandKernels : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HasAvx512()) GTEST_SKIP() << "this CPU has one of the two kinds only";
  }

  std::vector<float> Values(int64_t count, float most = 3) {
    std::vector<float> values(count);
    for (float& value : values) value = random_.Uniform(-most, most);
    return values;
  }

 private:
  Random random_{5, RandomUse::kSynthesis};
};

// As many rows as are worked off in several groups.
constexpr int64_t kRows = 77, kPlaces = 20;  // of an image

TEST_F(BandKernels, NormsAreTheSame) {
  for (const int64_t channels : kChannels) {
    for (const Activation activation : kActivations) {
      for (const bool with_residual : {false, true}) {
        SCOPED_TRACE(::testing::Message() << channels << " channels, activation " << static_cast<int>(activation)
                                          << (with_residual ? ", with a residual" : ""));
        const std::vector<float> x = Values(kRows * channels), gradient = Values(kRows * channels),
                                 other = Values(kRows * channels), values = Values(6 * channels),
                                 of_images = Values(2 * (kRows / kPlaces + 1) * channels);
        const ImageScale by_image{of_images.data(), of_images.data() + (kRows / kPlaces + 1) * channels, kPlaces};
        ConvSource source;
        source.data = x.data();
        source.scale = values.data();
        source.shift = values.data() + channels;
        source.mean = values.data() + 2 * channels;
        source.inverse_deviation = values.data() + 3 * channels;
        source.activation = activation;
        ConvGradient g{};
        g.gradient = gradient.data();
        g.x = x.data();
        g.y = with_residual ? other.data() : nullptr;
        g.scale = source.scale;
        g.shift = source.shift;
        g.b = values.data() + 4 * channels;
        g.d = values.data() + 5 * channels;
        g.activation = activation;
        if (!with_residual) g.by_image = source.gate = by_image;
        const auto results = [&](const NormKernels& kernels) {
          std::vector<std::vector<float>> floats(3, std::vector<float>(FloatsOfLineRows(kRows, channels), -7));
          const RowLayout layout = with_residual ? TensorRows(channels) : LineRows(kRows);
          std::vector<std::vector<double>> doubles(3, std::vector<double>(2 * channels, 1));
          if (with_residual) g.of_residual = floats[2].data();
          kernels.read(source, with_residual ? other.data() : nullptr, channels, 3, kRows, floats[0].data(), layout);
          kernels.write_gradient(g, channels, 3, kRows, floats[1].data(), layout);
          kernels.add_gradient_moments(source, gradient.data(), with_residual ? ImageScale() : by_image, channels, 3,
                                       kRows, doubles[0].data());
          kernels.add_products(source, with_residual ? gradient.data() : nullptr, channels, 3, kRows,
                               doubles[2].data());
          kernels.add_moments(x.data(), other.data(), channels, 3, kRows, doubles[1].data());
          return std::make_pair(floats, doubles);
        };
        const auto [floats, doubles] = results(kNormKernels);
        const auto [floats512, doubles512] = results(kNormKernelsAvx512);
        for (size_t i = 0; i < floats.size(); ++i) ExpectSame(floats[i], floats512[i]);
        for (size_t i = 0; i < doubles.size(); ++i) ExpectSame(doubles[i], doubles512[i]);
      }
    }
  }
}

TEST_F(BandKernels, RowsWithoutANormAreCopied) {
  for (const int64_t channels : kChannels) {
    SCOPED_TRACE(::testing::Message() << channels << " channels");
    const std::vector<float> x = Values(kRows * channels);
    ConvSource source;
    source.data = x.data();
    for (const RowLayout& layout : {TensorRows(channels), LineRows(kRows)}) {
      std::vector<float> expected(FloatsOfLineRows(kRows, channels), -7);
      for (int64_t row = 3; row < kRows; ++row) {
        for (int64_t c = 0; c < channels; ++c) {
          expected[(row - 3) * layout.row + layout.Of(c)] = x[row * channels + c];
        }
      }
      for (const NormKernels* kernels : {&kNormKernels, &WidestNormKernels()}) {
        std::vector<float> copied(expected.size(), -7);
        kernels->read(source, nullptr, channels, 3, kRows, copied.data(), layout);
        EXPECT_EQ(copied, expected);
      }
    }
  }
}

TEST_F(BandKernels, GathersAreTheSame) {
  for (const int64_t channels : kChannels) {
    for (const auto& [taps, up] : {std::pair(1, 1), {2, 1}, {3, 1}, {3, 2}, {5, 1}, {5, 2}}) {
      SCOPED_TRACE(::testing::Message() << channels << " channels, " << taps << " taps, up " << up);
      GatherRows g{};
      g.filter_rows = taps;
      g.taps = taps;
      g.up = up;
      g.channels = channels;
      g.rows = 5;
      g.places = 15;
      const int64_t columns = (g.places - 1) * up + taps, rows = (g.rows - 1) * up + taps;
      g.from_line = LineRows(rows * columns).line;
      g.from_row = columns * kLineLanes;
      g.from_next = up * g.from_row;
      g.to_place = 2 * channels;
      g.to_row = g.places * g.to_place;
      const std::vector<float> from = Values(FloatsOfLineRows(rows * columns, channels)),
                               filters = Values(taps * taps * channels);
      g.from = from.data();
      g.filters = filters.data();
      const auto results = [&](const DepthwiseKernels& kernels) {
        std::vector<float> to(g.rows * g.to_row, -7);
        std::vector<double> sums(2 * channels, 1);
        g.to = to.data();
        g.sums = sums.data();
        g.base = to.data();
        kernels.gather(g);
        return std::make_pair(to, sums);
      };
      const auto [to, sums] = results(kDepthwiseKernels);
      const auto [to512, sums512] = results(kDepthwiseKernelsAvx512);
      ExpectSame(to, to512);
      ExpectSame(sums, sums512);
    }
  }
}

TEST_F(BandKernels, FilterGradientsAreTheSame) {
  for (const int64_t channels : kChannels) {
    for (const int64_t kernel : {3, 5}) {
      for (const int64_t stride : {1, 2}) {
        SCOPED_TRACE(::testing::Message() << channels << " channels, " << kernel << " wide, stride " << stride);
        FilterGradient f{};
        f.rows = 40;
        f.places = 15;
        f.kernel = kernel;
        f.stride = stride;
        f.channels = channels;
        const int64_t columns = (f.places - 1) * stride + kernel, rows = (f.rows - 1) * stride + kernel;
        f.input_line = LineRows(rows * columns).line;
        f.input_row = columns * kLineLanes;
        f.gradient_line = LineRows(f.rows * f.places).line;
        f.gradient_row = f.places * kLineLanes;
        const std::vector<float> input = Values(FloatsOfLineRows(rows * columns, channels), 1),
                                 gradient = Values(FloatsOfLineRows(f.rows * f.places, channels), 1);
        f.input = input.data();
        f.gradient = gradient.data();
        const auto results = [&](const DepthwiseKernels& kernels) {
          std::vector<double> sums(kernel * kernel * channels, 1);
          f.sums = sums.data();
          kernels.add_filter_gradient(f);
          return sums;
        };
        ExpectSame(results(kDepthwiseKernels), results(kDepthwiseKernelsAvx512));
      }
    }
  }
}

// Small whole numbers, whose sums are exact in any order.
TEST(ProductKernels, AreTheSumsOfProducts) {
  Random random(6, RandomUse::kSynthesis);
  const auto whole = [&](int64_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = std::round(random.Uniform(-3, 3));
    return values;
  };
  for (const ProductKernels* kernels : {&kProductKernels, &WidestProductKernels()}) {
    for (const int64_t outputs : {1, 8, 16, 24, 39, 72, 80, 90, 184, 200}) {
      for (const int64_t inputs : {1, 6, 16, 67}) {
        for (const int64_t rows : {1, 5, 14, 77}) {
          SCOPED_TRACE(::testing::Message() << rows << " rows, " << inputs << " inputs, " << outputs << " outputs");
          const std::vector<float> from = whole(rows * inputs), filters = whole(outputs * inputs);
          std::vector<float> expected(rows * outputs + 16, -7);
          for (int64_t row = 0; row < rows; ++row) {
            for (int64_t o = 0; o < outputs; ++o) {
              float sum = 0;
              for (int64_t i = 0; i < inputs; ++i) sum += from[row * inputs + i] * filters[o * inputs + i];
              expected[row * outputs + o] = sum;
            }
          }
          std::vector<float> transposed(filters.size());
          for (int64_t o = 0; o < outputs; ++o) {
            for (int64_t i = 0; i < inputs; ++i) transposed[i * outputs + o] = filters[o * inputs + i];
          }
          for (const bool other_way : {false, true}) {
            std::vector<float> packed(kernels->packed_floats(inputs, outputs)), to(expected.size(), -7);
            kernels->pack((other_way ? transposed : filters).data(), other_way ? 1 : inputs, other_way ? outputs : 1,
                          inputs, outputs, packed.data());
            kernels->multiply({from.data(),
                               packed.data(),
                               to.data(),
                               rows,
                               inputs,
                               outputs,
                               {{from.data(), rows * inputs}, {}, {filters.data(), 3}}});
            EXPECT_EQ(to, expected);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace trireme::ops
