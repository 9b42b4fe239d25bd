// "strategy/hierarchical": every worker holds and updates all parameters. A bucket's gradients are summed by a
// reduce-scatter inside each host, an all-reduce across hosts in which each worker takes part with its chunk only, and
// an all-gather inside each host: rings all three.
#include <unistd.h>

#include "core/api/strategy.h"
#include "core/base/registry.h"
#include "parallel/strategies/bucketed_strategy.h"
#include "parallel/strategies/hierarchical/hierarchical.pb.h"
#include "parallel/strategies/hierarchical/hosts.h"

namespace trireme {
namespace {

constexpr int64_t kPiece = int64_t{1} << 20;  // elements

class Hierarchical : public BucketedStrategy {
 public:
  Hierarchical(const HierarchicalConfig& config, const BuildArgs& args)
      : BucketedStrategy(args, buckets_),
        workers_per_host_(config.workers_per_host()),
        buckets_("strategy/hierarchical", config.buckets(), *args.arena,
                 [this](Communicator& communicator, const Tensor& gradients, Stream& stream) {
                   return Reduce(communicator, gradients, stream);
                 }) {}

  Status Setup() override {
    TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> host_of, HostOfEachRank());
    TRIREME_ASSIGN_OR_RETURN(rings_, MakeHostRings(host_of, args_.communicator->rank()));
    scratch_ = Tensor::Empty(args_.arena->device(), {kPiece}, buckets_.type_on_the_wire(), MemoryKind::kGradients);
    return BucketedStrategy::Setup();
  }

 private:
  StatusOr<std::vector<std::string>> HostOfEachRank() {
    const Communicator& communicator = *args_.communicator;
    if (workers_per_host_ > 0) {
      std::vector<std::string> host_of;
      for (int rank = 0; rank < communicator.size(); ++rank) {
        host_of.push_back(absl::StrCat("host ", rank / workers_per_host_));
      }
      return host_of;
    }
    char name[256] = {};
    if (gethostname(name, sizeof name - 1) != 0) {
      return absl::InternalError("this host does not know its name; set workers_per_host");
    }
    return AllGatherStrings(*args_.communicator, name, args_.arena->device());
  }

  Status Reduce(Communicator& communicator, const Tensor& gradients, Stream& stream) {
    TRIREME_RETURN_IF_ERROR(RingReduceScatter(communicator, rings_.inside, gradients, scratch_, stream));
    const RingChunk mine = ChunkOf(gradients.size(), rings_.inside.size(), rings_.inside.place);
    TRIREME_RETURN_IF_ERROR(
        RingAllReduce(communicator, rings_.across, gradients.Flat(mine.begin, mine.end), scratch_, stream));
    return RingAllGather(communicator, rings_.inside, gradients, kPiece, stream);
  }

  const int workers_per_host_;
  HostRings rings_;
  Tensor scratch_;
  // The last member: its stream's work refers to the others.
  BucketStream buckets_;
};

StatusOr<std::unique_ptr<Strategy>> MakeHierarchical(const HierarchicalConfig& config,
                                                     const Strategy::BuildArgs& args) {
  TRIREME_RETURN_IF_ERROR(CheckBuckets(config.buckets()));
  const int workers = args.communicator->size(), each = config.workers_per_host();
  if (each < 0 || (each > 0 && workers % each != 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("workers_per_host is ", each, ", which does not divide the ", workers, " workers of the job"));
  }
  return std::unique_ptr<Strategy>(std::make_unique<Hierarchical>(config, args));
}

TRIREME_REGISTER_COMPONENT("strategy/hierarchical", Strategy, HierarchicalConfig, MakeHierarchical);

}  // namespace
}  // namespace trireme
