#include "core/train/step_clock.h"

#include <gtest/gtest.h>

namespace trireme {
namespace {

// A communicator that is told what its calls took.
class ToldCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 2; }
  Status AllReduce(const Tensor&, ReduceOperation, Stream&) override { return absl::OkStatus(); }
  Status ReduceScatter(const Tensor&, ReduceOperation, Stream&) override { return absl::OkStatus(); }
  Status AllGather(const Tensor&, Stream&) override { return absl::OkStatus(); }
  Status Broadcast(const Tensor&, int, Stream&) override { return absl::OkStatus(); }
  Status Send(const Tensor&, int, Stream&) override { return absl::OkStatus(); }
  Status Receive(const Tensor&, int, Stream&) override { return absl::OkStatus(); }
  Status SendReceive(const Tensor&, int, const Tensor&, int, Stream&) override { return absl::OkStatus(); }
  Status Barrier(Stream&) override { return absl::OkStatus(); }
  StatusOr<std::unique_ptr<Communicator>> Duplicate() override { return absl::UnimplementedError(""); }
  StatusOr<std::unique_ptr<Communicator>> Subset(const std::vector<int>&) override {
    return absl::UnimplementedError("");
  }
  Status status() const override { return absl::OkStatus(); }
  void Abort(const Status&) override {}
  int64_t bytes_sent() const override { return bytes; }
  double busy_seconds() const override { return busy; }

  int64_t bytes = 0;
  double busy = 0;
};

class ToldStrategy : public Strategy {
 public:
  Status Setup() override { return absl::OkStatus(); }
  void BeginStep(int64_t) override {}
  void OnGradientReady(int) override {}
  Status Step(GradientGuard&) override { return absl::OkStatus(); }
  bool synchronous() const override { return true; }
  double exposed_communication_seconds() const override { return exposed; }
  double communication_seconds() const override { return communication; }

  double exposed = 0, communication = 0;
};

struct Told {
  ToldCommunicator communicator;
  ToldStrategy strategy;
};

TEST(StepClockTest, EverySecondOfWaitingIsToldOnce) {
  Told told;
  StepClock clock(told.communicator, told.strategy, /*host_waits=*/true);
  double sum = 0;
  for (int step = 0; step < 4; ++step) {
    clock.BeginStep(0.25);
    EXPECT_EQ(clock.Note(false).data_wait_seconds, 0.25);
    told.communicator.busy += 1;  // synchronised norm
    sum += clock.Note(false).peer_wait_seconds;
    told.communicator.busy += 2;  // the exchange of losses
    told.strategy.exposed = 4;    // buckets
    clock.EndStep();
    told.communicator.busy += 1000;  // an evaluation
  }
  // The last step's end has not been told.
  EXPECT_EQ(sum, 4 * 1 + 3 * (2 + 4));
}

TEST(StepClockTest, TrafficIsThatOfTheStepBefore) {
  Told told;
  told.communicator.bytes = 99;  // the parameters, before the first step
  StepClock clock(told.communicator, told.strategy, /*host_waits=*/true);
  clock.BeginStep(0);
  told.communicator.bytes += 7;
  EXPECT_EQ(clock.Note(false).bytes_sent, 0);
  told.communicator.bytes += 10;
  told.strategy.communication = 0.5;
  clock.EndStep();
  told.communicator.bytes += 1000;
  clock.BeginStep(0);
  const WorkerNote note = clock.Note(true);
  EXPECT_EQ(note.bytes_sent, 17);
  EXPECT_EQ(note.communication_seconds, 0.5);
  EXPECT_TRUE(note.stop);
}

TEST(StepClockTest, AMeetingIsOfTheStepBeforeIt) {
  for (const bool host_waits : {true, false}) {
    Told told;
    StepClock clock(told.communicator, told.strategy, host_waits);
    clock.BeginStep(0);
    clock.EndStep();
    told.communicator.busy += 5;
    told.communicator.bytes += 30;
    told.strategy.communication = 4;
    clock.AddToStep();
    told.communicator.bytes += 1000;  // a checkpoint
    clock.BeginStep(0);
    const WorkerNote note = clock.Note(false);
    EXPECT_EQ(note.bytes_sent, 30);
    EXPECT_EQ(note.communication_seconds, 4);
    EXPECT_EQ(note.peer_wait_seconds, 5);
  }
}

// What the device of a step waits for shows when the host is at the next.
TEST(StepClockTest, BesideTheHostAStepIsToldLater) {
  Told told;
  StepClock clock(told.communicator, told.strategy, /*host_waits=*/false);
  clock.BeginStep(0);
  EXPECT_EQ(clock.Note(false).peer_wait_seconds, 0);
  clock.EndStep();
  told.communicator.busy += 3;
  clock.BeginStep(0);
  EXPECT_EQ(clock.Note(false).peer_wait_seconds, 3);
  clock.EndStep();
  clock.BeginStep(0);
  EXPECT_EQ(clock.Note(false).peer_wait_seconds, 0);
}

}  // namespace
}  // namespace trireme
