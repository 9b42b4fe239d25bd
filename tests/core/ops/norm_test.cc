#include "core/ops/norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "core/api/communicator.h"
#include "core/device/device.h"
#include "core/ops/pointwise.h"
#include "tests/core/ops/gradient_check.h"

namespace trireme {
namespace {

using ops::BatchNormMode;
using testing::GradientCheck;

struct Norm {
  Norm(GradientCheck& check, int64_t channels)
      : gamma(check.Input({channels}, 0.5f, 1.5f)),
        beta(check.Input({channels})),
        running_mean(check.Values({channels})),
        running_variance(check.Values({channels}, 0.5f, 2)) {}
  Var operator()(Context& context, const Var& x, const Var& residual = Var()) const {
    return ops::BatchNorm(context, x, {gamma, beta, running_mean, running_variance}, residual, options);
  }
  Var gamma, beta;
  Tensor running_mean, running_variance;
  ops::BatchNormOptions options;
};

TEST(BatchNorm, NormalizesTheBatchAndKeepsRunningStatistics) {
  GradientCheck check(2);
  for (const Shape& shape : {Shape{2, 3, 5, 3}, Shape{1, 7, 9, 16}, Shape{3, 11, 5, 37}}) {
    const int64_t channels = shape[-1], rows = shape.size() / channels;
    Norm norm(check, channels);
    const Tensor x = check.Values(shape, 90, 110);  // far from zero: variance must not drown in the mean
    const std::vector<float> before_mean = norm.running_mean.ToVector<float>();
    const std::vector<float> before_variance = norm.running_variance.ToVector<float>();
    Context context = check.NewContext();
    context.training = true;
    const std::vector<float> y = norm(context, Var(x)).value().ToVector<float>();
    const std::vector<float> in = x.ToVector<float>();
    const std::vector<float> gamma = norm.gamma.value().ToVector<float>(), beta = norm.beta.value().ToVector<float>();
    for (int64_t c = 0; c < channels; ++c) {
      double mean = 0, variance = 0;
      for (int64_t r = 0; r < rows; ++r) mean += in[r * channels + c] / static_cast<double>(rows);
      for (int64_t r = 0; r < rows; ++r) variance += std::pow(in[r * channels + c] - mean, 2) / rows;
      for (int64_t r = 0; r < rows; ++r) {
        const double expected = (in[r * channels + c] - mean) / std::sqrt(variance + 1e-5) * gamma[c] + beta[c];
        ASSERT_NEAR(y[r * channels + c], expected, 1e-4);
      }
      EXPECT_NEAR(norm.running_mean.ToVector<float>()[c], 0.9 * before_mean[c] + 0.1 * mean, 1e-4);
      EXPECT_NEAR(norm.running_variance.ToVector<float>()[c],
                  0.9 * before_variance[c] + 0.1 * variance * rows / (rows - 1), 1e-4);
    }
  }
}

TEST(BatchNorm, UsesRunningStatisticsOutsideOfTrainingAndWhenFrozen) {
  for (bool frozen : {false, true}) {
    GradientCheck check;
    Norm norm(check, 5);
    if (frozen) norm.options.mode = BatchNormMode::kFrozen;
    Context context = check.NewContext();
    context.training = frozen;
    const std::vector<float> mean = norm.running_mean.ToVector<float>();
    const std::vector<float> variance = norm.running_variance.ToVector<float>();
    const Tensor x = check.Values({2, 2, 2, 5});
    const std::vector<float> y = norm(context, Var(x)).value().ToVector<float>();
    for (size_t i = 0; i < y.size(); ++i) {
      const size_t c = i % 5;
      const double expected =
          (x.ToVector<float>()[i] - mean[c]) / std::sqrt(variance[c] + 1e-5) * norm.gamma.value().ToVector<float>()[c] +
          norm.beta.value().ToVector<float>()[c];
      ASSERT_NEAR(y[i], expected, 1e-5);
    }
    EXPECT_EQ(norm.running_mean.ToVector<float>(), mean);
    EXPECT_EQ(norm.running_variance.ToVector<float>(), variance);
  }
}

TEST(BatchNorm, Gradients) {
  for (const Shape& shape : {Shape{2, 3, 5, 3}, Shape{1, 4, 4, 16}, Shape{3, 5, 3, 19}}) {
    for (bool training : {true, false}) {
      GradientCheck check;
      const Var x = check.Input(shape, 2, 4);
      const Norm norm(check, shape[-1]);
      GradientCheck::Options options;
      options.training = training;
      check.Run([&](Context& context) { return norm(context, x); }, options);
    }
  }
}

TEST(BatchNorm, GradientsWithResidualAndRelu) {
  for (bool constant_x : {false, true}) {
    GradientCheck check;
    const Shape shape{2, 3, 3, 18};
    const Var x = constant_x ? Var(check.Values(shape)) : check.Input(shape);
    // Far from the corner of the relu, on both sides of it.
    const Var residual = check.Input(check.DistinctValues(shape, 20.0f));
    Norm norm(check, 18);
    norm.options.activation = ops::Activation::kRelu;
    GradientCheck::Options options;
    options.absolute = 5e-2;  // sums of values in the thousands
    check.Run([&](Context& context) { return norm(context, x, residual); }, options);
  }
}

TEST(BatchNorm, GradientsWithReluAlone) {
  GradientCheck check;
  const Var x = check.Input({2, 4, 3, 6});
  Norm norm(check, 6);
  norm.options.activation = ops::Activation::kRelu;
  // Shifted so that each channel is all on or all off.
  norm.beta.value().CopyFromHost(std::vector<float>{9, -9, 9, 9, -9, 9}.data());
  check.Run([&](Context& context) { return norm(context, x); });
}

TEST(BatchNorm, GradientsWithLeakyRelu) {
  GradientCheck check;
  // Far from the corner, on both sides of it.
  const Shape shape{2, 3, 3, 18};
  const Var x(check.Values(shape));
  const Var residual = check.Input(check.DistinctValues(shape, 20.0f));
  Norm norm(check, 18);
  norm.options.activation = ops::Activation::kLeakyRelu;
  Context context = check.NewContext();
  context.training = true;
  const std::vector<float> leaky = norm(context, x, residual).value().ToVector<float>();
  norm.options.activation = ops::Activation::kNone;
  const std::vector<float> plain = norm(context, x, residual).value().ToVector<float>();
  norm.options.activation = ops::Activation::kLeakyRelu;
  for (size_t i = 0; i < plain.size(); ++i) ASSERT_EQ(leaky[i], plain[i] > 0 ? plain[i] : 0.1f * plain[i]);
  GradientCheck::Options options;
  options.absolute = 5e-2;  // sums of values in the thousands
  check.Run([&](Context& c) { return norm(c, x, residual); }, options);
}

// Workers as threads that meet at a barrier; enough of a communicator for synchronised norm.
class Meeting {
 public:
  explicit Meeting(int workers) : workers_(workers) {}
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    const int64_t round = round_;
    if (++here_ == workers_) {
      here_ = 0;
      ++round_;
      all_here_.notify_all();
      return;
    }
    all_here_.wait(lock, [&] { return round_ != round; });
  }
  std::vector<Tensor> tensors{8};

 private:
  const int workers_;
  std::mutex mutex_;
  std::condition_variable all_here_;
  int here_ = 0;
  int64_t round_ = 0;
};

class ThreadsCommunicator : public Communicator {
 public:
  ThreadsCommunicator(Meeting& meeting, int rank, int size) : meeting_(meeting), rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  Status AllGather(const Tensor& tensor, Stream&) override {
    meeting_.tensors[rank_] = tensor;
    meeting_.Wait();
    const int64_t part = tensor.bytes() / size_;
    for (int peer = 0; peer < size_; ++peer) {
      if (peer == rank_) continue;
      std::memcpy(static_cast<char*>(tensor.raw()) + peer * part,
                  static_cast<char*>(meeting_.tensors[peer].raw()) + peer * part, part);
    }
    meeting_.Wait();
    meeting_.tensors[rank_] = Tensor();
    return absl::OkStatus();
  }
  Status AllReduce(const Tensor&, ReduceOperation, Stream&) override { return Unused(); }
  Status ReduceScatter(const Tensor&, ReduceOperation, Stream&) override { return Unused(); }
  Status Broadcast(const Tensor&, int, Stream&) override { return Unused(); }
  Status Send(const Tensor&, int, Stream&) override { return Unused(); }
  Status Receive(const Tensor&, int, Stream&) override { return Unused(); }
  Status SendReceive(const Tensor&, int, const Tensor&, int, Stream&) override { return Unused(); }
  Status Barrier(Stream&) override { return Unused(); }
  StatusOr<std::unique_ptr<Communicator>> Duplicate() override { return Unused(); }
  StatusOr<std::unique_ptr<Communicator>> Subset(const std::vector<int>&) override { return Unused(); }
  Status status() const override { return absl::OkStatus(); }
  void Abort(const Status&) override {}
  int64_t bytes_sent() const override { return 0; }
  double busy_seconds() const override { return 0; }

 private:
  static Status Unused() { return absl::UnimplementedError("not needed by norm"); }
  Meeting& meeting_;
  const int rank_, size_;
};

struct NormResult {
  std::vector<float> y, dx, dgamma, dbeta, running_mean, running_variance;
};

NormResult RunNorm(Device& device, Communicator* communicator, BatchNormMode mode, const Shape& shape,
                   const std::vector<float>& x, const std::vector<float>& dy) {
  device.BindToThisThread();
  const int64_t channels = shape[-1];
  Tape tape({}, nullptr);
  Context context(device);
  context.tape = &tape;
  context.training = true;
  context.communicator = communicator;
  const Var in = Var::Intermediate(Tensor::From(device, shape, x));
  std::vector<float> ones(channels, 1.0f), g(channels);
  for (int64_t c = 0; c < channels; ++c) g[c] = 0.5f + 0.1f * c;
  const Var gamma = Var::Intermediate(Tensor::From(device, {channels}, g));
  const Var beta = Var::Intermediate(Tensor::From(device, {channels}, ones));
  const Tensor mean = Tensor::Zeros(device, {channels}), variance = Tensor::From(device, {channels}, ones);
  ops::BatchNormOptions options;
  options.mode = mode;
  options.activation = ops::Activation::kRelu;
  const Var y = ops::BatchNorm(context, in, {gamma, beta, mean, variance}, Var(), options);
  const std::vector<float> values = y.value().ToVector<float>();
  y.AccumulateGradient(Tensor::From(device, shape, dy), device.compute_stream());
  tape.Backward({}, device.compute_stream());
  return {values,
          in.gradient().ToVector<float>(),
          gamma.gradient().ToVector<float>(),
          beta.gradient().ToVector<float>(),
          mean.ToVector<float>(),
          variance.ToVector<float>()};
}

TEST(BatchNorm, SynchronizedOverWorkersEqualsOneWorkerWithTheWholeBatch) {
  const int64_t channels = 7, per_worker = 3;
  const int workers = 3;
  const Shape whole{per_worker * workers, 4, 5, channels}, share{per_worker, 4, 5, channels};
  GradientCheck check;
  const std::vector<float> x = check.Values(whole, -2, 3).ToVector<float>();
  const std::vector<float> dy = check.Values(whole).ToVector<float>();
  const NormResult one = RunNorm(check.device(), nullptr, BatchNormMode::kSynchronized, whole, x, dy);

  std::vector<NormResult> shares(workers), alone(workers);
  Meeting meeting(workers);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < workers; ++rank) {
    threads.emplace_back([&, rank] {
      auto device = MakeDevice("cpu", 1).value();
      ThreadsCommunicator communicator(meeting, rank, workers);
      const auto part = [&](const std::vector<float>& all) {
        return std::vector<float>(all.begin() + rank * share.size(), all.begin() + (rank + 1) * share.size());
      };
      shares[rank] = RunNorm(*device, &communicator, BatchNormMode::kSynchronized, share, part(x), part(dy));
      // Does not meet anybody.
      alone[rank] = RunNorm(*device, &communicator, BatchNormMode::kPerWorker, share, part(x), part(dy));
    });
  }
  for (std::thread& thread : threads) thread.join();

  double per_worker_differs = 0;
  for (int rank = 0; rank < workers; ++rank) {
    for (int64_t i = 0; i < share.size(); ++i) {
      ASSERT_NEAR(shares[rank].y[i], one.y[rank * share.size() + i], 1e-5);
      ASSERT_NEAR(shares[rank].dx[i], one.dx[rank * share.size() + i], 1e-5);
      per_worker_differs += std::abs(alone[rank].y[i] - one.y[rank * share.size() + i]);
    }
    for (int64_t c = 0; c < channels; ++c) {
      EXPECT_NEAR(shares[rank].running_mean[c], one.running_mean[c], 1e-6);
      EXPECT_NEAR(shares[rank].running_variance[c], one.running_variance[c], 1e-6);
      EXPECT_EQ(shares[rank].running_mean[c], shares[0].running_mean[c]);
    }
  }
  EXPECT_GT(per_worker_differs, 1);
  // Gradients of parameters are each worker's own part; the strategy adds them up.
  for (int64_t c = 0; c < channels; ++c) {
    double dgamma = 0, dbeta = 0;
    for (const NormResult& result : shares) {
      dgamma += result.dgamma[c];
      dbeta += result.dbeta[c];
    }
    EXPECT_NEAR(dgamma, one.dgamma[c], 1e-4);
    EXPECT_NEAR(dbeta, one.dbeta[c], 1e-4);
  }
}

TEST(BatchNorm, DoesNotDependOnThreads) {
  const Shape shape{2, 31, 17, 21};
  GradientCheck check;
  const std::vector<float> x = check.Values(shape).ToVector<float>(), dy = check.Values(shape).ToVector<float>();
  auto two = MakeDevice("cpu", 2).value();
  const NormResult a = RunNorm(check.device(), nullptr, BatchNormMode::kPerWorker, shape, x, dy);
  const NormResult b = RunNorm(*two, nullptr, BatchNormMode::kPerWorker, shape, x, dy);
  EXPECT_EQ(a.y, b.y);
  EXPECT_EQ(a.dx, b.dx);
  EXPECT_EQ(a.dgamma, b.dgamma);
}

// Beyond the corners of each, on both sides.
TEST(BatchNorm, GradientsWithEachActivation) {
  for (const ops::Activation activation :
       {ops::Activation::kLeakyRelu, ops::Activation::kRelu6, ops::Activation::kHardSwish, ops::Activation::kSilu}) {
    GradientCheck check;
    const Var x = check.Input({2, 5, 3, 6}, 2, 4);
    Norm norm(check, 6);
    norm.options.activation = activation;
    // Of the corners, 0 and 6 of one and -3 and 3 of another, none is among what the channels come to.
    norm.beta.value().CopyFromHost(std::vector<float>{12, -12, 1.5f, 4.4f, -1.5f, 8}.data());
    norm.gamma.value().CopyFromHost(std::vector<float>{1, 1, 0.3f, 0.3f, 0.3f, 0.5f}.data());
    check.Run([&](Context& context) { return norm(context, x); });
  }
}

struct Groups {
  Groups(GradientCheck& check, int64_t channels, int groups)
      : gamma(check.Input({channels}, 0.5f, 1.5f)), beta(check.Input({channels})) {
    options.groups = groups;
  }
  Var operator()(Context& context, const Var& x, const Var& residual = Var()) const {
    return ops::GroupNorm(context, x, gamma, beta, residual, options);
  }
  Var gamma, beta;
  ops::GroupNormOptions options;
};

TEST(GroupNorm, EqualsTheDefinition) {
  for (const auto& [shape, groups] : std::vector<std::pair<Shape, int>>{
           {{2, 3, 5, 6}, 3}, {{1, 7, 9, 32}, 2}, {{3, 11, 5, 37}, 37}, {{2, 1, 1, 40}, 1}, {{2, 70, 50, 4}, 2}}) {
    GradientCheck check(2);
    const Groups norm(check, shape[3], groups);
    const Tensor x = check.Values(shape, 40, 50);  // far from zero: variance must not drown in the mean
    Context context = check.NewContext();
    const std::vector<float> y = norm(context, Var(x)).value().ToVector<float>();
    context.training = true;
    EXPECT_EQ(norm(context, Var(x)).value().ToVector<float>(), y) << "the same in training";
    const std::vector<float> in = x.ToVector<float>();
    const std::vector<float> gamma = norm.gamma.value().ToVector<float>(), beta = norm.beta.value().ToVector<float>();
    const int64_t places = shape[1] * shape[2], channels = shape[3], width = channels / groups;
    for (int64_t n = 0; n < shape[0]; ++n) {
      for (int64_t group = 0; group < groups; ++group) {
        const auto at = [&](int64_t place, int64_t c) { return (n * places + place) * channels + group * width + c; };
        double mean = 0, variance = 0;
        for (int64_t p = 0; p < places; ++p) {
          for (int64_t c = 0; c < width; ++c) mean += in[at(p, c)] / static_cast<double>(places * width);
        }
        for (int64_t p = 0; p < places; ++p) {
          for (int64_t c = 0; c < width; ++c) variance += std::pow(in[at(p, c)] - mean, 2) / (places * width);
        }
        for (int64_t p = 0; p < places; ++p) {
          for (int64_t c = 0; c < width; ++c) {
            const double normal = (in[at(p, c)] - mean) / std::sqrt(variance + 1e-5);
            ASSERT_NEAR(y[at(p, c)], normal * gamma[group * width + c] + beta[group * width + c], 1e-4);
          }
        }
      }
    }
  }
}

TEST(GroupNorm, Gradients) {
  for (const auto& [shape, groups] :
       std::vector<std::pair<Shape, int>>{{{2, 3, 5, 4}, 2}, {{1, 4, 4, 32}, 8}, {{3, 5, 3, 19}, 19}}) {
    for (const ops::Activation activation : {ops::Activation::kNone, ops::Activation::kSilu}) {
      GradientCheck check;
      const Var x = check.Input(shape, 2, 4);
      Groups norm(check, shape[3], groups);
      norm.options.activation = activation;
      check.Run([&](Context& context) { return norm(context, x); });
    }
  }
}

TEST(GroupNorm, GradientsWithResidualAndRelu) {
  GradientCheck check;
  const Shape shape{2, 3, 3, 18};
  const Var x = check.Input(shape);
  const Var residual = check.Input(check.DistinctValues(shape, 20.0f));
  Groups norm(check, 18, 6);
  norm.options.activation = ops::Activation::kRelu;
  GradientCheck::Options options;
  options.absolute = 5e-2;  // sums of values in the thousands
  check.Run([&](Context& context) { return norm(context, x, residual); }, options);
}

// So that neither the batch nor how it is divided among workers counts.
TEST(GroupNorm, ImagesHaveNothingToDoWithOneAnother) {
  const Shape shape{3, 17, 9, 24};
  const auto run = [](Device& device, const Shape& of, const std::vector<float>& x, const std::vector<float>& dy) {
    Tape tape({}, nullptr);
    Context context(device);
    context.tape = &tape;
    const Var in = Var::Intermediate(Tensor::From(device, of, x));
    const Var gamma(Tensor::From(device, {24}, std::vector<float>(24, 0.7f)));
    const Var beta(Tensor::From(device, {24}, std::vector<float>(24, 0.1f)));
    ops::GroupNormOptions options;
    options.groups = 8;
    options.activation = ops::Activation::kHardSwish;
    const Var y = ops::GroupNorm(context, in, gamma, beta, Var(), options);
    y.AccumulateGradient(Tensor::From(device, of, dy), device.compute_stream());
    std::vector<float> result = y.value().ToVector<float>();
    tape.Backward({}, device.compute_stream());
    for (float value : in.gradient().ToVector<float>()) result.push_back(value);
    return result;
  };
  GradientCheck check;
  const std::vector<float> x = check.Values(shape).ToVector<float>(), dy = check.Values(shape).ToVector<float>();
  const std::vector<float> all = run(check.device(), shape, x, dy);
  auto two = MakeDevice("cpu", 2).value();
  EXPECT_EQ(run(*two, shape, x, dy), all) << "threads";
  const int64_t size = shape.size() / 3;
  for (int64_t n = 0; n < 3; ++n) {
    const auto of = [&](const std::vector<float>& from) {
      return std::vector<float>(from.begin() + n * size, from.begin() + (n + 1) * size);
    };
    const std::vector<float> one = run(check.device(), {1, 17, 9, 24}, of(x), of(dy));
    for (int64_t i = 0; i < size; ++i) {
      ASSERT_EQ(one[i], all[n * size + i]);
      ASSERT_EQ(one[size + i], all[3 * size + n * size + i]);
    }
  }
}

TEST(L2Normalize, EqualsTheDefinition) {
  GradientCheck check;
  Context context = check.NewContext();
  const Var x(Tensor::From<float>(check.device(), {1, 1, 2, 2}, {3, 4, 0, 0}));
  const Var scale(Tensor::From<float>(check.device(), {2}, {20, 10}));
  const std::vector<float> y = ops::L2Normalize(context, x, scale).value().ToVector<float>();
  EXPECT_FLOAT_EQ(y[0], 12);
  EXPECT_FLOAT_EQ(y[1], 8);
  EXPECT_EQ(y[2], 0);  // and not NaN
}

TEST(L2Normalize, Gradients) {
  for (int64_t channels : {3, 16, 35}) {
    GradientCheck check;
    const Var x = check.Input({2, 3, 2, channels}, 0.5f, 2);
    const Var scale = check.Input({channels}, 1, 3);
    check.Run([&](Context& context) { return ops::L2Normalize(context, x, scale); });
  }
}

}  // namespace
}  // namespace trireme
