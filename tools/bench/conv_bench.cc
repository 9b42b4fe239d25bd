// GFLOP/s of every convolution of SSD300 with VGG16, and of some 1x1 ones of other networks, by pass and method, NHWC
// in and out. Counts the multiplications of the definition, so that Winograd's may be above the machine's peak
// (winograd* is oneDNN's).
//
//   bazel run //tools/bench:conv_bench -- --batch=4 --threads=1
//   bazel run //tools/bench:conv_bench -- --batch=8 --layer=lite
#include <gflags/gflags.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <iterator>
#include <string>
#include <vector>

#include "core/ops/conv_cpu.h"
#include "core/tensor/tensor.h"

DEFINE_int32(batch, 4, "Images.");
DEFINE_int32(threads, 1, "Threads of the device.");
DEFINE_int32(repeats, 5, "The fastest of so many runs is shown.");
DEFINE_string(layer, "", "Only layers whose names begin so.");

namespace trireme {
namespace {

struct Layer {
  const char* name;
  int uses;  // how often SSD300 has it
  int64_t in_channels, out_channels, size, kernel, stride, padding, dilation;
};

constexpr Layer kLayers[] = {
    {"conv1_1", 1, 3, 64, 300, 3, 1, 1, 1},
    {"conv1_2", 1, 64, 64, 300, 3, 1, 1, 1},
    {"conv2_1", 1, 64, 128, 150, 3, 1, 1, 1},
    {"conv2_2", 1, 128, 128, 150, 3, 1, 1, 1},
    {"conv3_1", 1, 128, 256, 75, 3, 1, 1, 1},
    {"conv3_2", 2, 256, 256, 75, 3, 1, 1, 1},
    {"conv4_1", 1, 256, 512, 38, 3, 1, 1, 1},
    {"conv4_2", 2, 512, 512, 38, 3, 1, 1, 1},
    {"conv5_1", 3, 512, 512, 19, 3, 1, 1, 1},
    {"fc6", 1, 512, 1024, 19, 3, 1, 6, 6},
    {"fc7", 1, 1024, 1024, 19, 1, 1, 0, 1},
    {"conv8_1", 1, 1024, 256, 19, 1, 1, 0, 1},
    {"conv8_2", 1, 256, 512, 19, 3, 2, 1, 1},
    {"conv9_1", 1, 512, 128, 10, 1, 1, 0, 1},
    {"conv9_2", 1, 128, 256, 10, 3, 2, 1, 1},
    {"conv10_1", 2, 256, 128, 5, 1, 1, 0, 1},
    {"conv10_2", 1, 128, 256, 5, 3, 1, 0, 1},
    {"class4", 1, 512, 84, 38, 3, 1, 1, 1},
    {"box4", 1, 512, 16, 38, 3, 1, 1, 1},
    {"class7", 1, 1024, 126, 19, 3, 1, 1, 1},
    {"box7", 1, 1024, 24, 19, 3, 1, 1, 1},
    {"class8", 1, 512, 126, 10, 3, 1, 1, 1},
    {"box8", 1, 512, 24, 10, 3, 1, 1, 1},
    {"class9", 1, 256, 126, 5, 3, 1, 1, 1},
    // SSDLite's heads and ResNet-50 at 320 x 320.
    {"lite_c20", 0, 672, 546, 20, 1, 1, 0, 1},
    {"lite_b20", 0, 672, 24, 20, 1, 1, 0, 1},
    {"lite_c10", 0, 480, 546, 10, 1, 1, 0, 1},
    {"lite_c3", 0, 256, 546, 3, 1, 1, 0, 1},
    {"res2_1", 0, 256, 64, 80, 1, 1, 0, 1},
    {"res2_3", 0, 64, 256, 80, 1, 1, 0, 1},
    {"res3_1", 0, 512, 128, 40, 1, 1, 0, 1},
    {"res3_3", 0, 128, 512, 40, 1, 1, 0, 1},
    {"res4_1", 0, 1024, 256, 20, 1, 1, 0, 1},
    {"res4_3", 0, 256, 1024, 20, 1, 1, 0, 1},
    {"res5_1", 0, 2048, 512, 10, 1, 1, 0, 1},
    {"res5_3", 0, 512, 2048, 10, 1, 1, 0, 1},
};

constexpr const char* kPassNames[] = {"forward", "data", "weights"};
constexpr ops::ConvMethod kMethods[] = {ops::ConvMethod::kPlain, ops::ConvMethod::kBlocked,
                                        ops::ConvMethod::kBlockedWinograd, ops::ConvMethod::kWinograd,
                                        ops::ConvMethod::kProduct};
constexpr int kCount = std::size(kMethods);
constexpr const char* kMethodNames[] = {"plain", "blocked", "winograd*", "winograd", "product"};

void Run() {
  auto device = MakeDevice("cpu", FLAGS_threads).value();
  device->BindToThisThread();
  std::printf("%-9s %-8s %7s", "layer", "pass", "GFLOP");
  for (const char* name : kMethodNames) std::printf(" %9s", name);
  std::printf("  chosen\n");
  double chosen_seconds = 0, least_seconds = 0;
  for (const Layer& layer : kLayers) {
    if (std::string(layer.name).compare(0, FLAGS_layer.size(), FLAGS_layer) != 0) continue;
    const int64_t out = (layer.size + 2 * layer.padding - layer.dilation * (layer.kernel - 1) - 1) / layer.stride + 1;
    const ops::ConvShape s = {
        FLAGS_batch,  layer.size,   layer.size,    layer.in_channels, out, out, layer.out_channels, layer.kernel,
        layer.kernel, layer.stride, layer.padding, layer.dilation,    1};
    const double gflop = 2e-9 * s.batch * out * out * s.out_channels * s.in_channels * layer.kernel * layer.kernel;
    const Tensor input = Tensor::Zeros(*device, {s.batch, layer.size, layer.size, s.in_channels});
    const Tensor weight = Tensor::Zeros(*device, {s.out_channels, layer.kernel, layer.kernel, s.in_channels});
    const Tensor output = Tensor::Zeros(*device, {s.batch, out, out, s.out_channels});
    for (int pass = 0; pass < 3; ++pass) {
      if (pass == 1 && s.in_channels == 3) continue;  // images need no gradient
      const ops::ConvPass which = static_cast<ops::ConvPass>(pass);
      const float* first = (pass == 1 ? output : input).data<float>();
      const float* second = (pass == 2 ? output : weight).data<float>();
      float* to = (pass == 0 ? output : pass == 1 ? input : weight).data<float>();
      double seconds[kCount] = {};
      for (int repeat = 0; repeat <= FLAGS_repeats; ++repeat) {
        // In turn, so that a disturbance of the machine does not fall on one method.
        for (int m = 0; m < kCount; ++m) {
          if (m == 3 && (layer.kernel != 3 || layer.stride != 1 || layer.dilation != 1)) continue;
          if (m == 4 && (layer.kernel != 1 || layer.stride != 1 || pass == 0)) continue;
          try {
            const auto begin = std::chrono::steady_clock::now();
            ops::RunConvCpu(*device, s, which, kMethods[m], first, second, to);
            const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
            if (repeat > 0 && (seconds[m] == 0 || took < seconds[m])) seconds[m] = took;
          } catch (const std::exception&) {
            // This oneDNN has no such kernel.
          }
        }
      }
      const int chosen = static_cast<int>(ops::ChooseConvMethod(s, which));
      std::printf("%-9s %-8s %7.2f", layer.name, kPassNames[pass], gflop);
      double least = 0;
      for (double took : seconds) {
        if (took > 0) {
          std::printf(" %9.1f", gflop / took);
          if (least == 0 || took < least) least = took;
        } else {
          std::printf(" %9s", "-");
        }
      }
      std::printf("  %s\n", kMethodNames[chosen]);
      chosen_seconds += layer.uses * (seconds[chosen] > 0 ? seconds[chosen] : seconds[1]);
      least_seconds += layer.uses * least;
    }
  }
  std::printf("all, with the chosen methods: %.3f s; with the fastest: %.3f s\n", chosen_seconds, least_seconds);
}

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) {
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  trireme::Run();
  return 0;
}
