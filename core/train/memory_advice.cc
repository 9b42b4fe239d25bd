#include "core/train/memory_advice.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/autograd/tape.h"

namespace trireme {
namespace {

int64_t Activations(const MemoryStats& memory) { return memory.in_use[static_cast<int>(MemoryKind::kActivations)]; }

// Activations come and go with every function that runs backwards, and a gradient is complete after most of them.
class HighWaterMark : public GradientSink {
 public:
  explicit HighWaterMark(const Device& device) : device_(device), before_(Activations(device.memory())) {}
  void OnGradientReady(int) override { Look(); }
  void Look() { most_ = std::max(most_, Activations(device_.memory()) - before_); }
  int64_t bytes() const { return most_; }

 private:
  const Device& device_;
  const int64_t before_;
  int64_t most_ = 0;
};

// Forward and backward with the first `images` of the batch; sets *bytes to what activations took.
Status Try(const MemoryTrial& trial, int64_t images, int64_t* bytes) {
  return CatchDeviceError([&]() -> Status {
    HighWaterMark mark(*trial.device);
    Tape tape(trial.arena->Vars(), &mark);
    Context context(*trial.device);
    context.tape = &tape;
    context.training = true;
    context.precision = trial.precision;
    const Batch part = trial.batch->Slice(0, images);
    {
      TRIREME_ASSIGN_OR_RETURN(const NamedLosses losses, trial.detector->Loss(context, part));
      std::vector<Var> scalars;
      for (const auto& [name, loss] : losses) scalars.push_back(loss);
      mark.Look();
      tape.Backward(scalars, context.stream());
    }
    context.stream().Synchronize();
    *bytes = mark.bytes();
    return absl::OkStatus();
  });
}

// The most images that were seen to fit, found from above; 0 if one does not.
StatusOr<int64_t> ImagesThatFit(const MemoryTrial& trial) {
  const int64_t most = trial.batch->images.dim(0) - 1;
  int64_t one = 0, two = 0;
  const Status first = most >= 1 ? Try(trial, 1, &one) : absl::ResourceExhaustedError("one image does not fit");
  if (absl::IsResourceExhausted(first)) return 0;
  TRIREME_RETURN_IF_ERROR(first);
  if (most == 1) return 1;
  const Status second = Try(trial, 2, &two);
  if (absl::IsResourceExhausted(second)) return 1;
  TRIREME_RETURN_IF_ERROR(second);

  const MemoryStats memory = trial.device->memory();
  int64_t others = 0;
  for (const int64_t of_kind : memory.in_use) others += of_kind;
  const int64_t each = std::max<int64_t>(two - one, 1), fixed = one - each;
  const int64_t room = std::max(memory.limit, memory.reserved) - others;
  int64_t images = std::clamp<int64_t>((room - fixed) / each, 2, most);
  while (images > 2) {
    int64_t bytes = 0;
    const Status status = Try(trial, images, &bytes);
    if (status.ok()) break;
    if (!absl::IsResourceExhausted(status)) return status;
    images = std::max<int64_t>(2, std::min(images - 1, images * 9 / 10));
  }
  return images;
}

}  // namespace

Status AdviseOnMemory(const Status& fault, const MemoryTrial& trial) {
  std::string advice = absl::StrCat(fault.message(), ". ");
  const bool wide = ActivationType(trial.precision) == DataType::kFloat32;
  const char* narrower = wide ? ", or say `precision: BF16`, which halves the activations" : "";
  const StatusOr<int64_t> images = ImagesThatFit(trial);
  if (!images.ok()) {
    absl::StrAppend(&advice, "What would fit cannot be told (", images.status().message(), ")");
  } else if (*images == 0) {
    absl::StrAppend(&advice, "Not even one image a worker fits: take smaller images, a smaller model or more memory",
                    narrower);
  } else {
    const int64_t wanted = trial.batch->images.dim(0), parts = trial.accumulate_steps;
    absl::StrAppend(&advice, *images, " of the ", wanted, " images a worker would fit: set global_batch_size to ",
                    *images * trial.workers * parts, ", or accumulate_steps to ",
                    (wanted * parts + *images - 1) / *images, " or more, which keeps the batch", narrower);
  }
  return Status(fault.code(), advice);
}

}  // namespace trireme
