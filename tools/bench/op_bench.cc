// Bytes per second of the functions that memory speed bounds, forward and backward. Bytes are what a perfect
// implementation would move: each input read once, each output written once, and for norm in training a second read.
//
//   bazel run //tools/bench:op_bench
#include <benchmark/benchmark.h>

#include "core/autograd/tape.h"
#include "core/ops/norm.h"
#include "core/ops/pointwise.h"
#include "core/ops/pooling.h"

namespace trireme {
namespace {

// A map as large as those of SSD300's second block at a batch of 4: far larger than caches.
const Shape kMap{4, 150, 150, 128};

struct Worker {
  Worker() : device(MakeDevice("cpu", 1).value()), tape({}, nullptr), context(*device) {
    device->BindToThisThread();
    context.tape = &tape;
    context.training = true;
  }
  Var Map(const Shape& shape) {
    Tensor value = Tensor::Empty(*device, shape);
    float* x = value.data<float>();
    for (int64_t i = 0; i < value.size(); ++i) x[i] = static_cast<float>(i % 17 - 8);
    return Var::Intermediate(value);
  }
  std::unique_ptr<Device> device;
  Tape tape;
  Context context;
};

// Times function(context) forward, or what the tape makes of it backward; `moved` is in units of the map.
template <class Function>
void Measure(benchmark::State& state, Worker& worker, const Function& function, double forward, double backward) {
  const bool is_backward = state.range(0) == 1;
  Stream& stream = worker.device->compute_stream();
  for (auto _ : state) {
    if (is_backward) state.PauseTiming();
    Var y = function(worker.context);
    if (is_backward) {
      y.AccumulateGradient(Tensor::Zeros(*worker.device, y.shape()), stream);
      y = Var();
      state.ResumeTiming();
      worker.tape.Backward({}, stream);
    } else {
      state.PauseTiming();
      y = Var();
      worker.tape.Backward({}, stream);  // forgets the record
      state.ResumeTiming();
    }
  }
  const double moved = (is_backward ? backward : forward) * static_cast<double>(kMap.size()) * sizeof(float);
  state.SetBytesProcessed(static_cast<int64_t>(static_cast<double>(state.iterations()) * moved));
}

void BM_Relu(benchmark::State& state) {
  Worker worker;
  const Var x = worker.Map(kMap);
  Measure(
      state, worker,
      [&](Context& c) {
        x.TakeGradient();
        return ops::Relu(c, x);
      },
      2, 3);
}
BENCHMARK(BM_Relu)->ArgName("backward")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

void BM_AddRelu(benchmark::State& state) {
  Worker worker;
  const Var a = worker.Map(kMap), b = worker.Map(kMap);
  Measure(
      state, worker,
      [&](Context& c) {
        a.TakeGradient();
        b.TakeGradient();
        return ops::Add(c, a, b, true);
      },
      3, 3);
}
BENCHMARK(BM_AddRelu)->ArgName("backward")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

void BM_MaxPool2x2(benchmark::State& state) {
  Worker worker;
  const Var x = worker.Map(kMap);
  Measure(
      state, worker,
      [&](Context& c) {
        x.TakeGradient();
        return ops::MaxPool2d(c, x, {});
      },
      1.25 + 0.0625, 1.25 + 0.0625);
}
BENCHMARK(BM_MaxPool2x2)->ArgName("backward")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

void BM_BatchNorm(benchmark::State& state, bool residual) {
  Worker worker;
  const int64_t channels = kMap[-1];
  const Var x = worker.Map(kMap), gamma = worker.Map({channels}), beta = worker.Map({channels});
  const Var skip = residual ? worker.Map(kMap) : Var();
  const Tensor mean = Tensor::Zeros(*worker.device, {channels}), variance = Tensor::Zeros(*worker.device, {channels});
  ops::BatchNormOptions options;
  options.activation = ops::Activation::kRelu;
  Measure(
      state, worker,
      [&](Context& c) {
        for (const Var& var : {x, gamma, beta}) var.TakeGradient();
        if (residual) skip.TakeGradient();
        return ops::BatchNorm(c, x, {gamma, beta, mean, variance}, skip, options);
      },
      residual ? 4 : 3, residual ? 8 : 7);
}
BENCHMARK_CAPTURE(BM_BatchNorm, relu, false)->ArgName("backward")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_BatchNorm, residual_relu, true)
    ->ArgName("backward")
    ->Arg(0)
    ->Arg(1)
    ->Unit(benchmark::kMillisecond);

void BM_L2Normalize(benchmark::State& state) {
  Worker worker;
  const Var x = worker.Map(kMap), scale = worker.Map({kMap[-1]});
  Measure(
      state, worker,
      [&](Context& c) {
        x.TakeGradient();
        scale.TakeGradient();
        return ops::L2Normalize(c, x, scale);
      },
      2, 5);
}
BENCHMARK(BM_L2Normalize)->ArgName("backward")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

// What memory gives: the yardstick for the others.
void BM_Copy(benchmark::State& state) {
  Worker worker;
  const Var x = worker.Map(kMap);
  const Tensor to = Tensor::Zeros(*worker.device, kMap);
  for (auto _ : state) to.CopyFrom(x.value(), worker.device->compute_stream());
  state.SetBytesProcessed(state.iterations() * 2 * x.value().bytes());
}
BENCHMARK(BM_Copy)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace trireme

BENCHMARK_MAIN();
