#include "parallel/strategies/data_parallel/gather_to_one.h"

#include "absl/strings/str_cat.h"
#include "core/device/parallel_for.h"
#include "parallel/strategies/compression.h"
#include "parallel/strategies/publish.h"

namespace trireme {
namespace {

void Add(const Tensor& from, const Tensor& to, Stream& stream) {
  const float* source = from.data<float>();
  float* sum = to.data<float>();
  ParallelFor(stream, to.size(), [=] TRIREME_HD(int64_t i) { sum[i] += source[i]; });
}

class GatherToOne : public Strategy {
 public:
  GatherToOne(DataType type_on_the_wire, const BuildArgs& args) : args_(args), type_on_the_wire_(type_on_the_wire) {}

  Status Setup() override {
    if (args_.communicator->size() > 1) MakeRoom();
    std::vector<ArenaPiece> mine;
    if (is_root()) mine.push_back(WholeArena(*args_.arena));
    TRIREME_RETURN_IF_ERROR(args_.optimizer->Setup(*args_.arena, mine));
    return PublishParameters(*args_.arena, *args_.communicator);
  }
  void BeginStep(int64_t step) override { step_ = step; }
  void OnGradientReady(int) override {}

  Status Step(GradientGuard& guard) override {
    Stream& stream = args_.arena->device().compute_stream();
    const double busy_before = args_.communicator->busy_seconds();
    TRIREME_RETURN_IF_ERROR(Named(Gather(stream)));
    if (guard.waits_for_all()) {
      if (is_root()) guard.Inspect(0, args_.arena->gradients(), stream);
      TRIREME_RETURN_IF_ERROR(Named(guard.Decide(/*replicated=*/false, stream)));
      if (compression_ != nullptr) compression_->Decided(guard, stream);
    }
    if (is_root()) args_.optimizer->Update(0, args_.arena->size(), guard.control(), stream);
    TRIREME_RETURN_IF_ERROR(Named(args_.communicator->Broadcast(args_.arena->values(), 0, stream)));
    communication_seconds_ = args_.communicator->busy_seconds() - busy_before;
    return absl::OkStatus();
  }
  bool synchronous() const override { return true; }
  std::vector<std::pair<std::string, Tensor>> State() const override {
    if (compression_ == nullptr) return {};
    return compression_->State();
  }
  std::vector<std::string> schedule() const override {
    return {absl::StrCat("all gradients to rank 0 in ", DataTypeName(type_on_the_wire_))};
  }
  // All of it is exposed, and the communicator counts it.
  double exposed_communication_seconds() const override { return 0; }
  double communication_seconds() const override { return communication_seconds_; }

 private:
  bool is_root() const { return args_.communicator->rank() == 0; }

  bool compresses() const { return type_on_the_wire_ != DataType::kFloat32; }

  // For what is on its way.
  void MakeRoom() {
    const int64_t size = args_.arena->size();
    Device& device = args_.arena->device();
    if (is_root()) {
      incoming_ = Tensor::Empty(device, {size}, DataType::kFloat32, MemoryKind::kGradients);
      if (compresses()) narrow_ = Tensor::Empty(device, {size}, type_on_the_wire_, MemoryKind::kGradients);
    } else if (compresses()) {
      compression_ = std::make_unique<GradientCompression>(*args_.arena, type_on_the_wire_, size, args_.may_skip);
    }
  }

  Status Gather(Stream& stream) {
    Communicator& communicator = *args_.communicator;
    const Tensor& gradients = args_.arena->gradients();
    if (!is_root()) {
      return communicator.Send(compresses() ? compression_->Compress(0, gradients, stream) : gradients, 0, stream);
    }
    for (int peer = 1; peer < communicator.size(); ++peer) {
      TRIREME_RETURN_IF_ERROR(communicator.Receive(compresses() ? narrow_ : incoming_, peer, stream));
      if (compresses()) GradientCompression::Expand(narrow_, incoming_, stream);
      Add(incoming_, gradients, stream);
    }
    return absl::OkStatus();
  }

  Status Named(const Status& status) const {
    return Annotate(status, absl::StrCat("strategy/data_parallel: rank ", args_.communicator->rank(), ", step ", step_,
                                         ", all gradients"));
  }

  const BuildArgs args_;
  const DataType type_on_the_wire_;
  Tensor incoming_, narrow_;                          // rank 0's: a peer's gradients, and as they arrive if compressed
  std::unique_ptr<GradientCompression> compression_;  // the others', if they compress
  int64_t step_ = 0;
  double communication_seconds_ = 0;
};

}  // namespace

std::unique_ptr<Strategy> MakeGatherToOne(DataType type_on_the_wire, const Strategy::BuildArgs& args) {
  return std::make_unique<GatherToOne>(type_on_the_wire, args);
}

}  // namespace trireme
