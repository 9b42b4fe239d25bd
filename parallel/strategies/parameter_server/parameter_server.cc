// "strategy/parameter_server": servers hold a shard of the parameters each and run the optimizer there. Workers push
// gradients to all servers, bucket by bucket beside the backward pass, and pull values at the end of the step.
//
// Each worker has a channel of its own to the servers. At its end is a thread that speaks (worker_side.h,
// worker_link.h), at theirs one that answers (server_side.h, server_link.h); a worker's own server it reaches without
// one. What a server makes of a push is shard_server.h's business.
//
// Where a guard has to see all sums before a synchronous update, each server's sums are seen by one worker, its own,
// or, with ranks of their own, one that pulls them for that; the workers then decide together.
#include <chrono>

#include "core/api/strategy.h"
#include "core/base/registry.h"
#include "parallel/strategies/buckets.h"
#include "parallel/strategies/compression.h"
#include "parallel/strategies/mean_buffers.h"
#include "parallel/strategies/parameter_server/parameter_server.pb.h"
#include "parallel/strategies/parameter_server/roles.h"
#include "parallel/strategies/parameter_server/server_side.h"
#include "parallel/strategies/parameter_server/worker_side.h"
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
        buffers_(*args.arena, rank_, roles.workers) {}

  ~ParameterServer() override {
    // Whoever waits for what this rank will not do any more has to end first.
    if (!settled_)
      args_.communicator->Abort(absl::CancelledError(absl::StrCat("stopped in the middle of step ", step_)));
    worker_.reset();
  }

  Status Setup() override;
  void BeginStep(int64_t step) override;
  void OnGradientReady(int index) override { worker_->OnGradientReady(index); }
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
    return worker_ == nullptr ? "" : BucketUnderWay(plan_, worker_->num_pushed(), /*begun=*/false);
  }
  std::vector<std::pair<std::string, Tensor>> State() const override {
    if (worker_ == nullptr) return {};
    return worker_->State();
  }
  double exposed_communication_seconds() const override { return exposed_seconds_; }
  double communication_seconds() const override { return worker_ == nullptr ? 0 : worker_->communication_seconds(); }

 private:
  // Another worker may be at another step than this one, which goes on reading its arena meanwhile.
  bool has_own_values() const { return server_number_ >= 0 && roles_.works(rank_) && !synchronous(); }
  ArenaPiece MyPiece() const;
  std::unique_ptr<ServerSide> MakeServer(const ArenaPiece& piece);
  std::unique_ptr<WorkerSide> MakeWorker(std::unique_ptr<Communicator> channel);
  Status FinishPush(GradientGuard& guard);
  Status InspectSums(GradientGuard& guard);
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

  MeanBuffers buffers_;
  int64_t step_ = 0;
  bool settled_ = true;
  Interruption announced_;
  double exposed_seconds_ = 0;

  // The last members: their threads refer to the others.
  std::unique_ptr<ServerSide> server_;  // null on a rank that serves nothing
  std::unique_ptr<WorkerSide> worker_;  // null on a rank that only serves
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

std::unique_ptr<WorkerSide> ParameterServer::MakeWorker(std::unique_ptr<Communicator> channel) {
  WorkerSide::Parts parts;
  parts.arena = args_.arena;
  parts.plan = &plan_;
  parts.buckets = config_.buckets();
  parts.may_skip = args_.may_skip;
  parts.channel = std::move(channel);
  for (int server = 0; server < roles_.servers; ++server) {
    if (server == server_number_) continue;
    WorkerLink::Server other;
    other.rank = roles_.RankOfServer(server);
    other.shard = &shards_[static_cast<size_t>(server)];
    other.shows_sums = roles_.InspectorOf(server) == rank_;
    parts.servers.push_back(other);
  }
  return std::make_unique<WorkerSide>(std::move(parts));
}

std::vector<std::string> ParameterServer::schedule() const {
  std::vector<std::string> exchanges;
  for (const Shard& shard : shards_) {
    for (const ShardPart& part : shard.parts) {
      exchanges.push_back(absl::StrCat("parameters ", part.begin, " to ", part.end, " of bucket ", part.bucket + 1,
                                       " (", plan_.buckets[static_cast<size_t>(part.bucket)].name, ") in ",
                                       DataTypeName(TypeOnTheWire(config_.buckets())), " with server ",
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
  if (roles_.works(rank_)) worker_ = MakeWorker(std::move(channels[static_cast<size_t>(rank_)]));
  // The worker's own channel is gone from the list.
  if (server_ != nullptr) {
    server_->Answer(std::move(channels), device_, TypeOnTheWire(config_.buckets()));
  }
  return absl::OkStatus();
}

void ParameterServer::BeginStep(int64_t step) {
  if (settled_ && server_ != nullptr) shard_server().Open();
  step_ = step;
  settled_ = false;
  exposed_seconds_ = 0;
  worker_->BeginStep(step);
}

Status ParameterServer::Step(GradientGuard& guard) {
  worker_->PushRest();
  TRIREME_RETURN_IF_ERROR(Named(FinishPush(guard)));
  const auto start = std::chrono::steady_clock::now();
  Status status;
  if (server_ != nullptr) {
    const Tensor values = args_.arena->values().Flat(my_shard().begin, my_shard().end);
    status = AsServer(shard_server().AwaitValues(rank_, step_, values, compute_));
  }
  // Whatever has come of it, the link may be at this worker's memory still.
  const Status pulled = worker_->AwaitPull();
  exposed_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return Named(status.ok() ? pulled : status);
}

// Until all servers have all they need of this worker, but for what is under way.
Status ParameterServer::FinishPush(GradientGuard& guard) {
  const bool waits = guard.waits_for_all();
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
    TRIREME_RETURN_IF_ERROR(InspectSums(guard));
    TRIREME_RETURN_IF_ERROR(guard.Decide(/*replicated=*/false, compute_));
  }
  worker_->Pull(guard);
  if (server_ == nullptr) return absl::OkStatus();
  compute_.Synchronize();
  return AsServer(shard_server().ArriveControl(rank_, step_, worker_->control(), compute_));
}

// All sums are in the arena's gradients of the worker that looks at them.
Status ParameterServer::InspectSums(GradientGuard& guard) {
  const auto start = std::chrono::steady_clock::now();
  const Status there = server_ != nullptr ? AsServer(shard_server().AwaitSums(step_)) : worker_->PullSums();
  exposed_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  TRIREME_RETURN_IF_ERROR(there);
  for (int server = 0; server < roles_.servers; ++server) {
    if (roles_.InspectorOf(server) != rank_) continue;
    for (const ShardPart& part : shards_[static_cast<size_t>(server)].parts) {
      guard.Inspect(part.begin, args_.arena->gradients().Flat(part.begin, part.end), compute_);
    }
  }
  return absl::OkStatus();
}

Status ParameterServer::Publish() {
  // Then every push has been answered.
  TRIREME_RETURN_IF_ERROR(args_.communicator->Barrier(compute_));
  // Each has seen its own images, and their mean is the job's.
  if (!synchronous()) TRIREME_RETURN_IF_ERROR(buffers_.Take(*args_.communicator));
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
  if (roles_.own_ranks && rank_ == 0) TRIREME_RETURN_IF_ERROR(Named(worker_->Settle(announced_)));
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
  if (args.scales_losses && config.mode() != ParameterServerConfig::SYNC &&
      config.buckets().compression() != BucketConfig::NONE) {
    return absl::InvalidArgumentError(
        "strategy/parameter_server: what compression keeps of a step's gradients has the scale of their losses, which "
        "changes when workers without synchronous steps meet; with precision: FP16 say mode: SYNC, or leave out "
        "buckets.compression");
  }
  TRIREME_ASSIGN_OR_RETURN(const ServerRoles roles, RolesOf(config, args.communicator->size()));
  return std::unique_ptr<Strategy>(std::make_unique<ParameterServer>(config, roles, args));
}

TRIREME_REGISTER_COMPONENT("strategy/parameter_server", Strategy, ParameterServerConfig, MakeParameterServer);

}  // namespace
}  // namespace trireme
