#include <gtest/gtest.h>

#include <cmath>

#include "core/api/communicator.h"
#include "core/device/device.h"
#include "core/ops/norm.h"
#include "tests/core/ops/gradient_check.h"
#include "tests/core/testing/fake_job.h"

namespace trireme {
namespace {

using ops::BatchNormMode;
using testing::GradientCheck;

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

TEST(SynchronizedNorm, OverWorkersEqualsOneWorkerWithTheWholeBatch) {
  const int64_t channels = 7, per_worker = 3;
  const int workers = 3;
  const Shape whole{per_worker * workers, 4, 5, channels}, share{per_worker, 4, 5, channels};
  GradientCheck check;
  const std::vector<float> x = check.Values(whole, -2, 3).ToVector<float>();
  const std::vector<float> dy = check.Values(whole).ToVector<float>();
  const NormResult one = RunNorm(check.device(), nullptr, BatchNormMode::kSynchronized, whole, x, dy);

  std::vector<NormResult> shares(workers), alone(workers);
  const std::vector<Status> outcomes = testing::RunFakeJob(workers, [&](Communicator& communicator) {
    const int rank = communicator.rank();
    auto device = MakeDevice("cpu", 1).value();
    const auto part = [&](const std::vector<float>& all) {
      return std::vector<float>(all.begin() + rank * share.size(), all.begin() + (rank + 1) * share.size());
    };
    shares[rank] = RunNorm(*device, &communicator, BatchNormMode::kSynchronized, share, part(x), part(dy));
    // Does not meet anybody.
    alone[rank] = RunNorm(*device, &communicator, BatchNormMode::kPerWorker, share, part(x), part(dy));
    return absl::OkStatus();
  });
  for (const Status& outcome : outcomes) ASSERT_TRUE(outcome.ok()) << outcome;

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

TEST(SynchronizedNorm, DoesNotDependOnThreads) {
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

}  // namespace
}  // namespace trireme
