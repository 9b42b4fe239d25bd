// "strategy/parameter_server": servers hold a shard of the parameters each and run the optimizer there. Workers push
// gradients to all servers, bucket by bucket beside the backward pass, and pull values at the end of the step.
//
// Each worker has a channel of its own to the servers. At its end is a thread that speaks (worker_link.h), at theirs
// one that answers (server_link.h); a worker's own server it reaches without one. What a server makes of a push is
// shard_server.h's business.
#include <chrono>

#include "core/api/strategy.h"
#include "core/base/registry.h"
#include "parallel/strategies/buckets.h"
#include "parallel/strategies/parameter_server/parameter_server.pb.h"
#include "parallel/strategies/parameter_server/push_sum.h"
#include "parallel/strategies/parameter_server/roles.h"
#include "parallel/strategies/parameter_server/server_side.h"
#include "parallel/strategies/parameter_server/worker_link.h"
#include "parallel/strategies/publish.h"

namespace trireme {
namespace {

constexpr char kName[] = "strategy/parameter_server";

int64_t Bytes(double megabytes) { return static_cast<int64_t>(megabytes * (1 << 20)); }

ServerMode ModeOf(const ParameterServerConfig& config) {
  switch (config.mode()) {
    case ParameterServerConfig::SYNC:
      return ServerMode::kSync;
    case ParameterServerConfig::ASYNC:
      return ServerMode::kAsync;
    case ParameterServerConfig::BOUNDED:
      return ServerMode::kBounded;
  }
  return ServerMode::kSync;
}

class ParameterServer : public Strategy {
 public:
  ParameterServer(const ParameterServerConfig& config, const ServerRoles& roles, const BuildArgs& args)
      : config_(config),
        mode_(ModeOf(config)),
        roles_(roles),
        args_(args),
        rank_(args.communicator->rank()),
        server_number_(roles.ServerOfRank(rank_)),
        device_(args.arena->device()),
        compute_(device_.compute_stream()),
        plan_(PlanBuckets(*args.arena, Bytes(config.buckets().first_size_mb()), Bytes(config.buckets().size_mb()))),
        shards_(PlanShards(*args.arena, plan_, roles.servers)),
        pending_(plan_.buckets.size(), 0) {}

  ~ParameterServer() override {
    // Whoever waits for what this rank will not do any more has to end first.
    if (!settled_)
      args_.communicator->Abort(absl::CancelledError(absl::StrCat("stopped in the middle of step ", step_)));
    worker_link_.reset();
  }

  Status Setup() override;
  void BeginStep(int64_t step) override;
  void OnGradientReady(int index) override;
  Status Step(GradientGuard& guard) override;
  bool synchronous() const override { return mode_ == ServerMode::kSync; }
  bool begins_updates() const override { return !synchronous(); }
  // The host has its part in every step.
  bool can_capture() const override { return false; }
  int64_t steps_between_meetings() const override { return synchronous() ? 1 : config_.meet_every_steps(); }
  void Announce(const Interruption& interruption) override { announced_ = interruption; }
  Status Settle() override;
  StatusOr<Interruption> Serve() override;
  std::vector<std::string> schedule() const override;
  std::string UnderWay() const override {
    return BucketUnderWay(plan_, static_cast<int>(next_to_push_), /*begun=*/false);
  }
  double exposed_communication_seconds() const override { return exposed_seconds_; }
  double communication_seconds() const override {
    return worker_link_ == nullptr ? 0 : worker_link_->busy_seconds() - busy_before_;
  }

 private:
  // Another worker may be at another step than this one, which goes on reading its arena meanwhile.
  bool has_own_values() const { return server_number_ >= 0 && roles_.works(rank_) && !synchronous(); }
  ArenaPiece MyPiece() const;
  std::unique_ptr<ServerSide> MakeServer(const ArenaPiece& piece);
  void PushReady();
  Status FinishPush(GradientGuard& guard);
  Status Publish();
  // This rank's.
  const Shard& my_shard() const { return shards_[static_cast<size_t>(server_number_)]; }
  ShardServer& shard_server() { return server_->shard_server(); }
  Status AsServer(const Status& status) const { return Annotate(status, server_->name()); }
  Status Named(const Status& status) const {
    return Annotate(status,
                    absl::StrCat(kName, ": worker ", rank_, " (rank ", rank_, "), step ", step_, ", ", UnderWay()));
  }

  const ParameterServerConfig config_;
  const ServerMode mode_;
  const ServerRoles roles_;
  const BuildArgs args_;
  const int rank_;
  const int server_number_;
  Device& device_;
  Stream& compute_;
  const BucketPlan plan_;
  const std::vector<Shard> shards_;

  // A worker's.
  std::vector<int> pending_;  // by bucket: gradients that are not complete
  std::vector<std::unique_ptr<Event>> ready_;
  std::unique_ptr<Event> decided_;
  Tensor control_;
  size_t next_to_push_ = 0;
  int64_t step_ = 0;
  bool settled_ = true;
  Interruption announced_;
  double exposed_seconds_ = 0;
  double busy_before_ = 0;  // the link's clock when the step began

  // The last members: their threads refer to the others.
  std::unique_ptr<ServerSide> server_;  // null on a rank that serves nothing
  std::unique_ptr<WorkerLink> worker_link_;
};

ArenaPiece ParameterServer::MyPiece() const {
  const Shard& shard = my_shard();
  if (!has_own_values()) return PieceOf(*args_.arena, shard.begin, shard.end);
  ArenaPiece piece;
  piece.begin = shard.begin;
  piece.values = Tensor::Empty(device_, {shard.size()}, DataType::kFloat32, MemoryKind::kParameters);
  piece.gradients = Tensor::Zeros(device_, {shard.size()}, DataType::kFloat32, MemoryKind::kGradients);
  return piece;
}

std::unique_ptr<ServerSide> ParameterServer::MakeServer(const ArenaPiece& piece) {
  const Shard& shard = my_shard();
  ShardServer::Options options;
  options.mode = mode_;
  options.workers = roles_.workers;
  options.staleness = config_.staleness();
  options.timeout_seconds = args_.communicator->timeout_seconds();
  options.begins_updates = !roles_.works(rank_);
  ShardServer::Parts parts;
  parts.shard = shard;
  parts.piece = piece;
  parts.optimizer = args_.optimizer;
  parts.schedule = args_.schedule;
  parts.fault = [this] { return args_.communicator->status(); };
  for (int worker = 0; worker < roles_.workers; ++worker) {
    parts.incoming.push_back(worker == rank_
                                 ? args_.arena->gradients().Flat(shard.begin, shard.end)
                                 : Tensor::Zeros(device_, {shard.size()}, DataType::kFloat32, MemoryKind::kGradients));
  }
  if (has_own_values()) {
    parts.piece.values.CopyFrom(args_.arena->values().Flat(shard.begin, shard.end), compute_);
  }
  compute_.Synchronize();
  return std::make_unique<ServerSide>(roles_.NameOfServer(server_number_), options, std::move(parts));
}

std::vector<std::string> ParameterServer::schedule() const {
  std::vector<std::string> exchanges;
  for (const Shard& shard : shards_) {
    for (const ShardPart& part : shard.parts) {
      exchanges.push_back(absl::StrCat("parameters ", part.begin, " to ", part.end, " of bucket ", part.bucket + 1,
                                       " (", plan_.buckets[static_cast<size_t>(part.bucket)].name, ") with server ",
                                       &shard - shards_.data()));
    }
  }
  return exchanges;
}

Status ParameterServer::Setup() {
  CHECK(args_.schedule != nullptr || (synchronous() && !roles_.own_ranks)) << "a server begins the optimizer's steps";
  std::vector<ArenaPiece> pieces;
  if (server_number_ >= 0) pieces.push_back(MyPiece());
  TRIREME_RETURN_IF_ERROR(args_.optimizer->Setup(*args_.arena, pieces));
  TRIREME_RETURN_IF_ERROR(PublishParameters(*args_.arena, *args_.communicator));

  std::vector<std::unique_ptr<Communicator>> channels;
  for (int worker = 0; worker < roles_.workers; ++worker) {
    TRIREME_ASSIGN_OR_RETURN(auto channel, args_.communicator->Duplicate());
    channels.push_back(std::move(channel));
  }

  if (server_number_ >= 0) server_ = MakeServer(pieces[0]);
  if (roles_.works(rank_)) {
    for (size_t k = 0; k < plan_.buckets.size(); ++k) ready_.push_back(device_.NewEvent());
    decided_ = device_.NewEvent();
    control_ = Tensor::Zeros(device_, {kPushControlBytes}, DataType::kUint8, MemoryKind::kGradients);
    std::vector<WorkerLink::Server> others;
    for (int server = 0; server < roles_.servers; ++server) {
      if (server != server_number_) {
        others.push_back({roles_.RankOfServer(server), &shards_[static_cast<size_t>(server)]});
      }
    }
    worker_link_ =
        std::make_unique<WorkerLink>(*args_.arena, std::move(others), std::move(channels[static_cast<size_t>(rank_)]));
  }
  // The worker's own channel is gone from the list.
  if (server_ != nullptr) server_->Answer(std::move(channels), device_);
  return absl::OkStatus();
}

void ParameterServer::BeginStep(int64_t step) {
  if (settled_ && server_ != nullptr) shard_server().Open();
  step_ = step;
  settled_ = false;
  next_to_push_ = 0;
  exposed_seconds_ = 0;
  busy_before_ = worker_link_->busy_seconds();
  for (size_t k = 0; k < pending_.size(); ++k) pending_[k] = plan_.buckets[k].num_trained;
}

void ParameterServer::OnGradientReady(int index) {
  const int bucket = plan_.bucket_of[static_cast<size_t>(index)];
  if (bucket < 0) return;
  CHECK_GT(pending_[static_cast<size_t>(bucket)], 0)
      << args_.arena->parameters()[static_cast<size_t>(index)]->name << " is reported twice in a step";
  --pending_[static_cast<size_t>(bucket)];
  if (config_.buckets().overlap()) PushReady();
}

void ParameterServer::PushReady() {
  for (; next_to_push_ < pending_.size() && pending_[next_to_push_] == 0; ++next_to_push_) {
    Event& ready = *ready_[next_to_push_];
    compute_.Record(ready);
    worker_link_->Push(step_, plan_.buckets[next_to_push_], static_cast<int>(next_to_push_), &ready);
  }
}

Status ParameterServer::Step(GradientGuard& guard) {
  PushReady();
  CHECK_EQ(next_to_push_, pending_.size()) << "not all gradients were reported before the step's end";
  TRIREME_RETURN_IF_ERROR(Named(FinishPush(guard)));
  const auto start = std::chrono::steady_clock::now();
  Status status;
  if (server_ != nullptr) {
    const Tensor values = args_.arena->values().Flat(my_shard().begin, my_shard().end);
    status = AsServer(shard_server().AwaitValues(rank_, step_, values, compute_));
  }
  // Whatever has come of it, the link may be at this worker's memory still.
  const Status pulled = worker_link_->AwaitPull();
  exposed_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return Named(status.ok() ? pulled : status);
}

// Until all servers have all they need of this worker, but for what is under way.
Status ParameterServer::FinishPush(GradientGuard& guard) {
  const bool waits = guard.waits_for_all();
  if (waits && synchronous() && roles_.own_ranks) {
    return absl::InvalidArgumentError(
        "servers with ranks of their own sum the gradients where nothing can look at them before the update; with "
        "precision: FP16, clipping, or what else has to see all sums first, say placement: INSIDE_WORKERS");
  }
  if (waits && !synchronous()) {
    // A push is an update of its own, and this worker's alone to judge.
    guard.Inspect(0, args_.arena->gradients(), compute_);
    TRIREME_RETURN_IF_ERROR(guard.Decide(/*replicated=*/true, compute_));
  }
  if (server_ != nullptr) {
    compute_.Synchronize();
    for (size_t part = 0; part < my_shard().parts.size(); ++part) {
      TRIREME_RETURN_IF_ERROR(AsServer(shard_server().ArrivePart(rank_, step_, static_cast<int>(part), compute_)));
    }
  }
  if (waits && synchronous()) {
    if (server_ != nullptr) {
      const auto start = std::chrono::steady_clock::now();
      TRIREME_RETURN_IF_ERROR(AsServer(shard_server().AwaitSums(step_)));
      exposed_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      guard.Inspect(my_shard().begin, shard_server().sums(), compute_);
    }
    TRIREME_RETURN_IF_ERROR(guard.Decide(/*replicated=*/false, compute_));
  }
  WriteControl(guard.control(), control_, compute_);
  compute_.Record(*decided_);
  worker_link_->Pull(step_, control_, decided_.get());
  if (server_ == nullptr) return absl::OkStatus();
  compute_.Synchronize();
  return AsServer(shard_server().ArriveControl(rank_, step_, ControlIn(control_), compute_));
}

Status ParameterServer::Publish() {
  // Then every push has been answered.
  TRIREME_RETURN_IF_ERROR(args_.communicator->Barrier(compute_));
  if (has_own_values()) {
    args_.arena->values().Flat(my_shard().begin, my_shard().end).CopyFrom(shard_server().values(), compute_);
  }
  for (int server = 0; server < roles_.servers; ++server) {
    const Shard& shard = shards_[static_cast<size_t>(server)];
    if (shard.size() == 0 || args_.communicator->size() == 1) continue;
    TRIREME_RETURN_IF_ERROR(args_.communicator->Broadcast(args_.arena->values().Flat(shard.begin, shard.end),
                                                          roles_.RankOfServer(server), compute_));
  }
  compute_.Synchronize();
  return args_.communicator->status();
}

Status ParameterServer::Settle() {
  if (roles_.own_ranks && rank_ == 0) {
    worker_link_->Settle(announced_);
    TRIREME_RETURN_IF_ERROR(Named(worker_link_->AwaitPull()));
  }
  TRIREME_RETURN_IF_ERROR(Named(Publish()));
  settled_ = true;
  return absl::OkStatus();
}

StatusOr<Interruption> ParameterServer::Serve() {
  CHECK(!roles_.works(rank_)) << "a worker's server needs no rank of its own";
  const auto named = [this](const Status& status) { return Annotate(server_->Named(status), kName); };
  shard_server().Open();
  settled_ = false;
  const StatusOr<Interruption> interruption = server_->AwaitInterruption();
  if (!interruption.ok()) return named(interruption.status());
  const Status published = Publish();
  if (!published.ok()) return named(published);
  settled_ = true;
  return interruption;
}

StatusOr<std::unique_ptr<Strategy>> MakeParameterServer(const ParameterServerConfig& config,
                                                        const Strategy::BuildArgs& args) {
  TRIREME_RETURN_IF_ERROR(CheckParameterServer(config));
  TRIREME_ASSIGN_OR_RETURN(const ServerRoles roles, RolesOf(config, args.communicator->size()));
  return std::unique_ptr<Strategy>(std::make_unique<ParameterServer>(config, roles, args));
}

TRIREME_REGISTER_COMPONENT("strategy/parameter_server", Strategy, ParameterServerConfig, MakeParameterServer);

}  // namespace
}  // namespace trireme
