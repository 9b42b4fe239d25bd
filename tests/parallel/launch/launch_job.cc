// A program whose workers are processes and misbehave as told: launch_job WORKERS FOLDER ACT[:RANK]
//
// Each rank leaves FOLDER/RANK with its process number and its rendezvous folder in it once it runs.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "parallel/launch/process_launcher.h"
#include "parallel/launch/process_rank.h"

namespace trireme {
namespace {

std::atomic<bool> stop{false};

void Sleep() { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }

// No data moves; peers meet in the store.
class StoreCommunicator : public Communicator {
 public:
  StoreCommunicator(const ProcessRank& place, std::shared_ptr<Store> store) : place_(place), store_(std::move(store)) {}

  Status Meet() {
    const std::string name = absl::StrCat("meeting.", ++meetings_, ".");
    TRIREME_RETURN_IF_ERROR(store_->Set(absl::StrCat(name, rank()), ""));
    for (int peer = 0; peer < size(); ++peer) {
      TRIREME_RETURN_IF_ERROR(store_->Wait(absl::StrCat(name, peer), absl::StrCat("rank ", peer), 30).status());
    }
    return absl::OkStatus();
  }
  int rank() const override { return place_.rank; }
  int size() const override { return place_.world_size; }
  Status AllReduce(const Tensor&, ReduceOperation, Stream&) override { return None(); }
  Status ReduceScatter(const Tensor&, ReduceOperation, Stream&) override { return None(); }
  Status AllGather(const Tensor&, Stream&) override { return None(); }
  Status Broadcast(const Tensor&, int, Stream&) override { return None(); }
  Status Send(const Tensor&, int, Stream&) override { return None(); }
  Status Receive(const Tensor&, int, Stream&) override { return None(); }
  Status SendReceive(const Tensor&, int, const Tensor&, int, Stream&) override { return None(); }
  Status Barrier(Stream&) override { return None(); }
  StatusOr<std::unique_ptr<Communicator>> Duplicate() override { return None(); }
  StatusOr<std::unique_ptr<Communicator>> Subset(const std::vector<int>&) override { return None(); }
  Status status() const override {
    const auto fault = store_->fault();
    return fault.has_value() ? DescribeFault(*fault) : absl::OkStatus();
  }
  void Abort(const Status& reason) override { store_->ReportFault(rank(), reason); }
  int64_t bytes_sent() const override { return 0; }
  double busy_seconds() const override { return 0; }

 private:
  static Status None() { return absl::UnimplementedError("no data moves here"); }

  const ProcessRank place_;
  const std::shared_ptr<Store> store_;
  int meetings_ = 0;
};

// Waits for all, as Gloo and NCCL do.
StatusOr<std::unique_ptr<Communicator>> Connect(const ProcessRank& place, std::shared_ptr<Store> store,
                                                double timeout_seconds) {
  TRIREME_RETURN_IF_ERROR(store->Set(absl::StrCat("connects.", place.rank), ""));
  for (int peer = 0; peer < place.world_size; ++peer) {
    TRIREME_RETURN_IF_ERROR(
        store->Wait(absl::StrCat("connects.", peer), absl::StrCat("rank ", peer, " to connect"), timeout_seconds)
            .status());
  }
  return std::unique_ptr<Communicator>(std::make_unique<StoreCommunicator>(place, std::move(store)));
}

int Rank() {
  const auto place = FindProcessRank();
  return place.ok() && place->has_value() ? (*place)->rank : 0;
}

struct Act {
  std::string name;
  int rank = -1;
};

Status Work(const Act& act, const std::string& folder, Communicator& base) {
  auto& communicator = static_cast<StoreCommunicator&>(base);
  const int rank = communicator.rank();
  {
    std::ofstream file(absl::StrCat(folder, "/.", rank));
    const char* rendezvous = std::getenv("TRIREME_RENDEZVOUS");
    file << getpid() << "\n" << (rendezvous == nullptr ? "" : rendezvous) << "\n";
  }
  rename(absl::StrCat(folder, "/.", rank).c_str(), absl::StrCat(folder, "/", rank).c_str());
  TRIREME_RETURN_IF_ERROR(communicator.Meet());
  if (act.name == "say") {
    printf("rank %d of %d\nits last words", rank, communicator.size());
    fflush(stdout);
  }
  if (act.rank == rank) {
    if (act.name == "fail") return absl::DataLossError("the file is torn");
    if (act.name == "refuse") return absl::NotFoundError("there is no such file");
    if (act.name == "exit") _exit(3);
    if (act.name == "crash") abort();
    if (act.name == "kill" || act.name == "stubborn") raise(SIGKILL);
  }
  if (act.name == "stubborn") {
    while (true) Sleep();
  }
  if (act.name == "wait") {
    while (!stop) {
      TRIREME_RETURN_IF_ERROR(communicator.status());
      Sleep();
    }
    // The others may take longer, and must not be hurt by those who are through.
    for (int i = 0; i < 60 * rank; ++i) {
      Sleep();
      TRIREME_RETURN_IF_ERROR(communicator.status());
    }
    return absl::CancelledError("stopped when asked to");
  }
  return communicator.Meet();
}

Status Run(int workers, const std::string& folder, const Act& act) {
  ProcessLauncherOptions options;
  options.communicator = "communicator/store";
  options.timeout_seconds = 2;
  options.grace_seconds = 1;
  const auto launcher = MakeProcessLauncher(options, [&](const ProcessRank& place, std::shared_ptr<Store> store) {
    return Connect(place, std::move(store), options.timeout_seconds);
  });
  if (const auto outcome = launcher->Start(workers)) return *outcome;
  signal(SIGTERM, [](int) { stop = true; });
  return launcher->Finish([&]() -> Status {
    if (act.name == "die" && act.rank == Rank() && launcher->leads()) raise(SIGKILL);
    if (act.name == "prepare" && act.rank == 0 && launcher->leads()) return absl::InvalidArgumentError("steps is -1");
    TRIREME_ASSIGN_OR_RETURN(const std::string told, launcher->FromRankZero(launcher->leads() ? "the folder" : ""));
    if (told != "the folder") return absl::InternalError("rank 0 said " + told);
    if (act.name == "prepare" && !launcher->leads()) return absl::InvalidArgumentError("no such image");
    if (act.name == "die" && act.rank == Rank()) raise(SIGKILL);
    if (act.name == "slow" && act.rank == Rank()) std::this_thread::sleep_for(std::chrono::seconds(4));
    return launcher->Run(workers, [&](Communicator& communicator) { return Work(act, folder, communicator); });
  }());
}

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) {
  if (argc != 4) return 64;
  const std::vector<std::string> parts = absl::StrSplit(argv[3], ':');
  trireme::Act act{parts[0]};
  if (parts.size() > 1 && !absl::SimpleAtoi(parts[1], &act.rank)) return 64;
  const trireme::Status status = trireme::Run(atoi(argv[1]), argv[2], act);
  fflush(stdout);
  if (!status.ok() && !trireme::IsToldElsewhere(status)) fprintf(stderr, "launch_job: %s\n", status.ToString().c_str());
  return trireme::ExitCode(status);
}
