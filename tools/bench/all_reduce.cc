// Times our ring all-reduce (parallel/strategies/ring) over [communicator/gloo] against Gloo's own, on loopback TCP:
// the ranks are threads with sockets of their own. Both run in turn, in one process; Gloo's has contexts that it has
// connected itself, its own sums, and its default segments.
//
//   bazel run //tools/bench:all_reduce
#include <gflags/gflags.h>
#include <glog/logging.h>
#include <gloo/allreduce.h>
#include <gloo/math.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/hash_store.h>
#include <gloo/transport/tcp/device.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

#include "core/device/device.h"
#include "parallel/communicator/gloo/gloo_communicator.h"
#include "parallel/strategies/ring/ring.h"

DEFINE_int32(ranks, 2, "");
DEFINE_double(megabytes, 64, "of float32 on each rank");
DEFINE_double(piece_kb, 4096, "of our ring; the default is what strategy/ring_all_reduce takes");
DEFINE_int32(rounds, 15, "of each, after two to warm up");

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;

// Ranks leave it together.
class Meeting {
 public:
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (++arrived_ == FLAGS_ranks) {
      arrived_ = 0;
      ++generation_;
      changed_.notify_all();
      return;
    }
    changed_.wait(lock, [&, generation = generation_] { return generation != generation_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0, generation_ = 0;
};

double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

struct Timings {
  std::vector<double> ours, gloos, ratios;
  double bytes_of_least = 0;  // what our ring sends, over 2(n-1)/n of the array
};

std::shared_ptr<gloo::Context> ConnectGloo(int rank, gloo::rendezvous::HashStore* store) {
  gloo::transport::tcp::attr where("127.0.0.1");
  std::shared_ptr<gloo::transport::Device> device = gloo::transport::tcp::CreateDevice(where);
  auto context = std::make_shared<gloo::rendezvous::Context>(rank, FLAGS_ranks);
  context->connectFullMesh(*store, device);
  return context;
}

void RunRank(int rank, const std::shared_ptr<Store>& store, gloo::rendezvous::HashStore* gloo_store, Meeting* meeting,
             Timings* timings) {
  const auto device = MakeDevice("cpu", 1);
  CHECK(device.ok()) << device.status();
  (*device)->BindToThisThread();
  Stream& stream = (*device)->compute_stream();
  GlooJobOptions options;
  options.rank = rank;
  options.size = FLAGS_ranks;
  auto communicator = MakeGlooCommunicator(store, options);
  CHECK(communicator.ok()) << communicator.status();
  const auto context = ConnectGloo(rank, gloo_store);

  const int64_t size = static_cast<int64_t>(FLAGS_megabytes * (1 << 20)) / 4;
  const Tensor values = Tensor::Zeros(**device, {size}), theirs = Tensor::Zeros(**device, {size});
  const int64_t piece = static_cast<int64_t>(FLAGS_piece_kb * 256);
  const Tensor scratch = Tensor::Zeros(**device, {piece});
  const Ring ring = WholeRing(**communicator);
  const auto ours = [&] {
    const Status status = RingAllReduce(**communicator, ring, values, scratch, stream);
    CHECK(status.ok()) << status;
  };
  const auto gloos = [&] {
    gloo::AllreduceOptions all_reduce(context);
    all_reduce.setOutput(theirs.data<float>(), static_cast<size_t>(size));
    all_reduce.setAlgorithm(gloo::AllreduceOptions::Algorithm::RING);
    all_reduce.setReduceFunction(static_cast<void (*)(void*, const void*, const void*, size_t)>(&gloo::sum<float>));
    gloo::allreduce(all_reduce);
  };
  const auto time = [&](const std::function<void()>& work) {
    meeting->Wait();
    const auto start = Clock::now();
    work();
    meeting->Wait();
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  const int64_t sent_before = (*communicator)->bytes_sent();
  for (int round = -2; round < FLAGS_rounds; ++round) {
    // Whoever goes first finds the caches as the other left them.
    const bool ours_first = round % 2 == 0;
    double our_seconds = 0, gloo_seconds = 0;
    if (ours_first) our_seconds = time(ours);
    gloo_seconds = time(gloos);
    if (!ours_first) our_seconds = time(ours);
    if (rank != 0 || round < 0) continue;
    timings->ours.push_back(our_seconds);
    timings->gloos.push_back(gloo_seconds);
    timings->ratios.push_back(gloo_seconds / our_seconds);
  }
  if (rank == 0) {
    const double least = 2.0 * (FLAGS_ranks - 1) / FLAGS_ranks * static_cast<double>(values.bytes());
    timings->bytes_of_least =
        static_cast<double>((*communicator)->bytes_sent() - sent_before) / (FLAGS_rounds + 2) / least;
  }
}

void Print(const char* name, const std::vector<double>& seconds, double bytes) {
  printf("%-28s %8.1f ms (%.1f to %.1f), %.2f GB/s of the array\n", name, Quantile(seconds, 0.5) * 1e3,
         Quantile(seconds, 0.25) * 1e3, Quantile(seconds, 0.75) * 1e3, bytes / Quantile(seconds, 0.5) * 1e-9);
}

void Run() {
  const auto store = std::make_shared<MemoryStore>();
  gloo::rendezvous::HashStore gloo_store;
  Meeting meeting;
  Timings timings;
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < FLAGS_ranks; ++rank) {
    ranks.emplace_back([&, rank] { RunRank(rank, store, &gloo_store, &meeting, &timings); });
  }
  for (std::thread& rank : ranks) rank.join();
  const double bytes = FLAGS_megabytes * (1 << 20);
  printf("%g MB of float32, %d ranks, %d rounds of each; median (quartiles)\n", FLAGS_megabytes, FLAGS_ranks,
         FLAGS_rounds);
  Print("our ring", timings.ours, bytes);
  Print("Gloo's ring", timings.gloos, bytes);
  printf("Gloo's time over ours, round by round: %.2f (%.2f to %.2f); bytes sent: %.4f of the least\n",
         Quantile(timings.ratios, 0.5), Quantile(timings.ratios, 0.25), Quantile(timings.ratios, 0.75),
         timings.bytes_of_least);
}

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) {
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  google::InitGoogleLogging(argv[0]);
  trireme::Run();
  return 0;
}
