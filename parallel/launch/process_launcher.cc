#include "parallel/launch/process_launcher.h"

#include <glog/logging.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "parallel/launch/process_id.h"
#include "parallel/launch/rendezvous.h"
#include "parallel/launch/supervisor.h"

namespace trireme {
namespace {

// For the others to read the last of the store; those that were killed are not waited for any longer.
constexpr auto kFarewell = std::chrono::seconds(5);

std::string PreparedKey(int rank) { return absl::StrCat("prepared.", rank); }

class ProcessLauncher : public Launcher {
 public:
  ProcessLauncher(const ProcessLauncherOptions& options, ConnectFunction connect)
      : options_(options), connect_(std::move(connect)) {}

  ~ProcessLauncher() override {
    if (store_ == nullptr) return;
    SayThatThisEnds().IgnoreError();
    if (place_.supervised || place_.world_size == 1 || place_.rank != 0) return;
    AwaitOthers();
    if (place_.over_tcp()) return;
    std::error_code error;
    std::filesystem::remove_all(place_.rendezvous + "/" + place_.job, error);
  }

  std::optional<Status> Start(int world_size) override {
    if (world_size < 1) {
      return absl::InvalidArgumentError(absl::StrCat("a job of ", world_size, " workers; say --workers=1 or more"));
    }
    const auto place = FindProcessRank();
    if (!place.ok()) return place.status();
    if (!place->has_value()) return StartHere(world_size);
    place_ = **place;
    if (place_.world_size != world_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("this process was started as one of ", place_.world_size, ", but the job has ", world_size,
                       " workers; say --workers=", place_.world_size, ", or start as many processes"));
    }
    auto store = JoinJob(&place_, options_.timeout_seconds);
    if (!store.ok()) return store.status();
    store_ = *std::move(store);
    const Status told = store_->Set(ProcessKey(place_.rank), DescribeThisProcess());
    if (!told.ok()) return told;
    return std::nullopt;
  }

  bool leads() const override { return place_.rank == 0; }

  StatusOr<std::string> FromRankZero(const std::string& mine) override {
    CHECK(store_ != nullptr) << "before Start";
    const std::string key = absl::StrCat("from_rank_zero.", num_shared_++);
    if (!leads()) return AwaitRank(0, key, "rank 0 to be ready");
    TRIREME_RETURN_IF_ERROR(store_->Set(key, mine));
    return mine;
  }

  Status Run(int world_size, const std::function<Status(Communicator& communicator)>& worker) override {
    if (store_ == nullptr) {
      if (const auto outcome = Start(world_size)) return *outcome;
    }
    CHECK_EQ(world_size, place_.world_size);
    std::unique_ptr<Communicator> communicator;
    const Status result = CatchDeviceError([&]() -> Status {
      TRIREME_RETURN_IF_ERROR(AwaitAllPrepared());
      TRIREME_ASSIGN_OR_RETURN(communicator, connect_(place_, store_));
      return worker(*communicator);
    });
    // A stop that all have agreed on is no fault, and the last of them may still be at it. A fault is in the store
    // before the communicator goes, so that peers hear of it and not of what follows from it.
    if (!result.ok() && !absl::IsCancelled(result)) return FirstFault(result);
    communicator.reset();
    TRIREME_RETURN_IF_ERROR(SayThatThisEnds());
    return result;
  }

  Status Finish(const Status& outcome) override {
    if (outcome.ok() || store_ == nullptr) return outcome;
    if (absl::IsCancelled(outcome)) {
      if (!place_.supervised) return outcome;
      TRIREME_RETURN_IF_ERROR(store_->Set(StoppedKey(place_.rank), std::string(outcome.message())));
      return ToldElsewhere(outcome);
    }
    const Status first = FirstFault(outcome);
    if (place_.supervised) return ToldElsewhere(first);
    return place_.world_size > 1 ? Annotate(first, absl::StrCat("on rank ", place_.rank)) : first;
  }

 private:
  std::optional<Status> StartHere(int world_size) {
    if (world_size > 1) {
      SupervisorOptions supervisor;
      supervisor.world_size = world_size;
      supervisor.grace_seconds = options_.grace_seconds;
      return Supervise(supervisor);
    }
    place_ = ProcessRank();
    store_ = std::make_shared<MemoryStore>();
    return std::nullopt;
  }

  // Who connects waits for the others no longer than for a call, and they may have read their data in turn.
  Status AwaitAllPrepared() {
    TRIREME_RETURN_IF_ERROR(store_->Set(PreparedKey(place_.rank), ""));
    for (int rank = 0; rank < place_.world_size; ++rank) {
      TRIREME_RETURN_IF_ERROR(
          AwaitRank(rank, PreparedKey(rank), absl::StrCat("rank ", rank, " to open its data")).status());
    }
    return absl::OkStatus();
  }

  // What rank `rank` is to set under `key`.
  StatusOr<std::string> AwaitRank(int rank, const std::string& key, const std::string& what) const {
    return store_->Wait(key, what, options_.prepare_timeout_seconds, [&]() -> Status {
      // The supervisor says more of one that has ended.
      if (place_.supervised || !IsSurelyGone(rank)) return absl::OkStatus();
      return absl::UnavailableError(absl::StrCat("rank ", rank, "'s process has ended"));
    });
  }

  bool IsSurelyGone(int rank) const {
    const auto process = store_->Find(ProcessKey(rank));
    return process.ok() && process->has_value() && HasSurelyEnded(**process);
  }

  // Once: with the last one's word rank 0 removes the folder, and who wrote into it after that would keep it there.
  Status SayThatThisEnds() {
    if (said_end_) return absl::OkStatus();
    TRIREME_RETURN_IF_ERROR(store_->Set(EndedKey(place_.rank), ""));
    said_end_ = true;
    return absl::OkStatus();
  }

  void AwaitOthers() const {
    const auto deadline = std::chrono::steady_clock::now() + kFarewell;
    for (int rank = 1; rank < place_.world_size; ++rank) {
      while (std::chrono::steady_clock::now() < deadline) {
        const auto ended = store_->Find(EndedKey(rank));
        if (!ended.ok() || ended->has_value() || IsSurelyGone(rank)) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
    }
  }

  // Own words of the rank that had the fault.
  Status FirstFault(const Status& mine) {
    const JobFault first = store_->ReportFault(place_.rank, mine);
    store_->ReportWitness(place_.rank, mine);
    return first.rank == place_.rank ? first.status : DescribeFault(first);
  }

  const ProcessLauncherOptions options_;
  const ConnectFunction connect_;
  ProcessRank place_;
  std::shared_ptr<Store> store_;
  int num_shared_ = 0;
  bool said_end_ = false;
};

}  // namespace

std::unique_ptr<Launcher> MakeProcessLauncher(const ProcessLauncherOptions& options, ConnectFunction connect) {
  return std::make_unique<ProcessLauncher>(options, std::move(connect));
}

Status RefuseSeveralProcesses(const std::string& communicator) {
  TRIREME_ASSIGN_OR_RETURN(const auto place, FindProcessRank());
  if (!place.has_value() || place->world_size == 1) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("this process was started as rank ", place->rank, " of ", place->world_size, ", but the workers of ",
                   communicator,
                   " are threads of one process; start it once, or use [communicator/gloo] on CPUs and "
                   "[communicator/nccl] on GPUs"));
}

}  // namespace trireme
