#include "core/ops/cuda/conv_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/device/cuda/cuda_error.h"
#include "core/device/device.h"

namespace trireme::ops::cuda {
namespace {

// What the largest activations of SSD300 at a batch of 32 take in float32, and more than any engine that is fast asks
// for.
constexpr int64_t kMostWorkspace = int64_t{512} << 20;

constexpr int64_t kMostProposals = 100;

// The problem that cuDNN is given for a choice.
ConvProblem Posed(ConvProblem problem, bool fused) {
  if (!fused) problem.bias = problem.relu = false;
  return problem;
}

std::vector<cudnnBackendNumericalNote_t> NotesOf(const Descriptor& engine) {
  return engine.GetAll<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
}

bool Allowed(const ConvProblem& problem, const Descriptor& engine) {
  const bool tensor_cores = problem.type != DataType::kFloat32 || problem.tf32;
  const auto notes = NotesOf(engine);
  return std::none_of(notes.begin(), notes.end(), [&](cudnnBackendNumericalNote_t note) {
    return note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC || note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
           note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
           (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE && !tensor_cores);
  });
}

EngineChoice ChoiceOf(const Descriptor& config, const Descriptor& engine, bool fused) {
  EngineChoice choice;
  choice.engine = engine.Get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  choice.fused = fused;
  for (const Descriptor& knob : config.GetDescriptors(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                                      CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS)) {
    choice.knobs[knob.Get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE)] =
        knob.Get<int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE);
  }
  return choice;
}

// Proposals of this mode that will do, at most `most`.
StatusOr<std::vector<EngineChoice>> FirstOf(const ConvProblem& problem, bool fused, cudnnBackendHeurMode_t mode,
                                            size_t most, const Descriptor& device) {
  const ConvGraph graph(Posed(problem, fused));
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.Refer(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.descriptor())
      .Set(CUDNN_ATTR_ENGINEHEUR_MODE, mode)
      .Refer(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device);
  TRIREME_RETURN_IF_ERROR(heuristics.TryFinalize());
  Status last = absl::UnimplementedError("no engine is proposed");
  std::vector<EngineChoice> choices;
  for (const Descriptor& config :
       heuristics.GetDescriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, kMostProposals)) {
    const std::vector<Descriptor> engine =
        config.GetDescriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
    if (!Allowed(problem, engine.at(0))) continue;
    const EngineChoice choice = ChoiceOf(config, engine.at(0), fused);
    const StatusOr<std::unique_ptr<ConvPlan>> plan = ConvPlan::Make(problem, choice, device, nullptr);
    if (plan.ok() && (*plan)->workspace_bytes() <= kMostWorkspace) {
      choices.push_back(choice);
      if (choices.size() == most) break;
    } else {
      last = plan.ok() ? absl::UnimplementedError("all engines need more workspace than the limit") : plan.status();
    }
  }
  if (choices.empty()) return last;
  return choices;
}

}  // namespace

Descriptor DeviceProperties(int cuda_device) {
  Descriptor device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  device.Set(CUDNN_ATTR_DEVICEPROP_DEVICE_ID, static_cast<int32_t>(cuda_device)).Finalize();
  return device;
}

StatusOr<Descriptor> DevicePropertiesFromJson(const std::string& json) {
  Descriptor device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  TRIREME_RETURN_IF_ERROR(CatchDeviceError([&] {
    device.Set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::vector<char>(json.begin(), json.end()));
    return device.TryFinalize();
  }));
  return device;
}

ConvPlan::ConvPlan(const ConvProblem& problem)
    : graph_(problem), plan_(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR), has_bias_(problem.bias) {}

StatusOr<std::unique_ptr<ConvPlan>> ConvPlan::Make(const ConvProblem& problem, const EngineChoice& choice,
                                                   const Descriptor& device, cudnnHandle_t handle) {
  std::unique_ptr<ConvPlan> made;
  TRIREME_RETURN_IF_ERROR(CatchDeviceError([&] {
    std::unique_ptr<ConvPlan> plan(new ConvPlan(Posed(problem, choice.fused)));
    plan->fused_ = choice.fused;
    Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    engine.Refer(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, plan->graph_.descriptor())
        .Set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, choice.engine)
        .Refer(CUDNN_ATTR_ENGINE_DEVICEPROP, device);
    TRIREME_RETURN_IF_ERROR(engine.TryFinalize());
    plan->notes_ = NotesOf(engine);
    std::vector<Descriptor> knobs;
    for (const auto& [type, value] : choice.knobs) {
      Descriptor knob(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
      knob.Set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, static_cast<cudnnBackendKnobType_t>(type))
          .Set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, value);
      TRIREME_RETURN_IF_ERROR(knob.TryFinalize());
      knobs.push_back(std::move(knob));
    }
    std::vector<const Descriptor*> chosen;
    for (const Descriptor& knob : knobs) chosen.push_back(&knob);
    Descriptor config(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    config.Refer(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
    if (!chosen.empty()) config.Refer(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, chosen);
    TRIREME_RETURN_IF_ERROR(config.TryFinalize());
    plan->plan_.Refer(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config)
        .Refer(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device);
    if (handle != nullptr) plan->plan_.Set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle);
    TRIREME_RETURN_IF_ERROR(plan->plan_.TryFinalize());
    plan->workspace_bytes_ = plan->plan_.Get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
    plan->parts_ = std::move(knobs);
    plan->parts_.push_back(std::move(engine));
    plan->parts_.push_back(std::move(config));
    made = std::move(plan);
    return absl::OkStatus();
  }));
  return made;
}

void ConvPlan::Execute(cudnnHandle_t handle, const void* first, const void* second, const void* bias, void* result,
                       void* workspace) const {
  std::vector<int64_t> ids = {kFirstOperand, kSecondOperand, kResult};
  std::vector<void*> pointers = {const_cast<void*>(first), const_cast<void*>(second), result};
  if (has_bias_) {
    ids.push_back(kBiasOperand);
    pointers.push_back(const_cast<void*>(bias));
  }
  for (void* pointer : pointers) {
    CHECK_EQ(reinterpret_cast<uintptr_t>(pointer) % kOperandAlignment, 0u) << "an operand of a convolution";
  }
  Descriptor variants(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  variants.Set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids)
      .Set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, pointers)
      .Set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace)
      .Finalize();
  CheckCudnn(cudnnBackendExecute(handle, plan_.get(), variants.get()), "running a convolution");
}

StatusOr<std::vector<EngineChoice>> ProposeEngines(const ConvProblem& problem, size_t most, const Descriptor& device) {
  const bool tail = problem.bias || problem.relu;
  Status last;
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    for (const bool fused : {true, false}) {
      if (!fused && !tail) continue;
      StatusOr<std::vector<EngineChoice>> choices = absl::UnimplementedError("");
      Status status = CatchDeviceError([&] {
        choices = FirstOf(problem, fused, mode, most, device);
        return choices.status();
      });
      if (status.ok()) return choices;
      last = std::move(status);
    }
  }
  return absl::UnimplementedError(
      absl::StrCat("cuDNN ", cudnnGetVersion(), " has no engine for ", Describe(problem), ": ", last.message()));
}

}  // namespace trireme::ops::cuda
