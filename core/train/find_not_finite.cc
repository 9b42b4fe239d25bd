#include "core/train/find_not_finite.h"

#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/autograd/function_observer.h"
#include "core/autograd/tape.h"
#include "core/train/finite.h"

namespace trireme {
namespace {

class FiniteCheck : public FunctionObserver {
 public:
  explicit FiniteCheck(const ParameterArena& arena)
      : arena_(arena), found_(Tensor::Zeros(arena.device(), {1}, DataType::kInt32)) {}

  void OnOutput(const char* function, const std::vector<Var>& inputs, const Tensor& output) override {
    std::vector<int> parameters;
    for (const Var& input : inputs) {
      if (input.parameter_index() >= 0) parameters.push_back(input.parameter_index());
    }
    const std::string place = Place(parameters);
    if (IsNew(output)) finding_.where = absl::StrCat("the output of ", function, place);
  }
  void OnOutputGradient(const char* function, const std::vector<int>& parameters, const Tensor& gradient) override {
    const std::string place = Place(parameters);
    if (IsNew(gradient)) finding_.where = absl::StrCat("the gradient of the output of ", function, place);
  }
  void OnParameterGradient(const char* function, int parameter, const Tensor& gradient) override {
    if (IsNew(gradient)) {
      finding_.where = absl::StrCat("the gradient that ", function, " gives ", NameOf(parameter));
    }
  }

  const NotFiniteFinding& finding() const { return finding_; }

 private:
  const std::string& NameOf(int parameter) const { return arena_.parameters()[parameter]->name; }

  // " in backbone.conv1", or of a function without parameters, where it stands.
  std::string Place(const std::vector<int>& parameters) {
    if (!parameters.empty()) {
      const std::string& name = NameOf(parameters[0]);
      const size_t dot = name.rfind('.');
      module_ = dot == std::string::npos ? name : name.substr(0, dot);
      return absl::StrCat(" in ", module_);
    }
    return module_.empty() ? "" : absl::StrCat(" next to ", module_);
  }

  // Whether this is the first tensor with a value that is not finite.
  bool IsNew(const Tensor& values) {
    if (finding_.order >= 0) return false;
    ++looks_;
    const DataType type = values.type();
    if (type != DataType::kFloat32 && type != DataType::kBfloat16 && type != DataType::kFloat16) return false;
    FindNotFinite(values, found_, arena_.device().compute_stream());
    if (found_.ToVector<int32_t>()[0] == 0) return false;
    finding_.order = looks_;
    return true;
  }

  const ParameterArena& arena_;
  const Tensor found_;
  std::string module_;
  int64_t looks_ = 0;
  NotFiniteFinding finding_;
};

// "the loss fit is inf", of the first loss of this rank that is not finite; empty if all are.
std::string OddLoss(const StepOutcome& outcome, size_t rank) {
  for (size_t i = 0; i < outcome.losses[rank].size(); ++i) {
    const float value = outcome.losses[rank][i];
    if (!std::isfinite(value)) return absl::StrCat("the loss ", outcome.loss_names[i], " is ", value);
  }
  return "";
}

std::string WhatIsOdd(const StepOutcome& outcome, size_t rank) {
  const std::string loss = OddLoss(outcome, rank);
  if (!loss.empty()) return loss;
  if (!std::isfinite(outcome.gradient_norm)) {
    return absl::StrCat("the norm of the gradients is ", outcome.gradient_norm);
  }
  return "a gradient is not finite";
}

// What a worker tells the others: the order, what was found or why nothing could be, and its images.
std::string ToText(const StatusOr<NotFiniteFinding>& finding, const std::vector<int64_t>& image_ids) {
  const std::string images = absl::StrJoin(image_ids, ", ");
  if (!finding.ok()) return absl::StrCat("-1\n", finding.status().message(), "\n", images);
  return absl::StrCat(finding->order, "\n", finding->where, "\n", images);
}

// The sentence's end, of what ToText has made of a finding.
std::string WhereItIs(bool found, const std::string& where_or_why_not) {
  if (found) return absl::StrCat("; the first values that are not finite are ", where_or_why_not);
  if (where_or_why_not.empty()) return "; it did not show again when the step was computed once more";
  return absl::StrCat("; where it comes from cannot be told (", where_or_why_not, ")");
}

}  // namespace

StatusOr<NotFiniteFinding> FindWhereNotFinite(const NotFiniteTrial& trial) {
  Stream& stream = trial.device->compute_stream();
  // The forward pass changes running statistics.
  const Tensor& buffers = trial.arena->buffer_values();
  const Tensor buffers_before = Tensor::Empty(*trial.device, buffers.shape());
  buffers_before.CopyFrom(buffers, stream);
  FiniteCheck check(*trial.arena);
  Status status;
  for (size_t part = 0; part < trial.parts->size() && status.ok(); ++part) {
    Tape tape(trial.arena->Vars(), nullptr);
    tape.set_observer(&check);
    Context context(*trial.device);
    context.tape = &tape;
    context.training = true;
    context.precision = trial.precision;
    context.communicator = trial.collective ? trial.communicator : nullptr;
    context.seed = trial.seed;
    context.step = trial.step * static_cast<int64_t>(trial.parts->size()) + static_cast<int64_t>(part);
    const auto losses = trial.detector->Loss(context, (*trial.parts)[part]);
    status = losses.status();
    if (!status.ok()) break;
    std::vector<Var> scalars;
    for (const auto& [name, loss] : *losses) scalars.push_back(loss);
    BackwardOptions backward;
    backward.scale = trial.loss_scale;
    backward.weight = 1.0f / static_cast<float>(trial.parts->size());
    backward.add = part > 0;
    tape.Backward(scalars, stream, backward);
  }
  buffers.CopyFrom(buffers_before, stream);
  TRIREME_RETURN_IF_ERROR(status);
  return check.finding();
}

StatusOr<std::string> DescribeNotFinite(const NotFiniteTrial& trial, const std::vector<int64_t>& image_ids,
                                        const StepOutcome& outcome) {
  const size_t me = static_cast<size_t>(trial.communicator->rank());
  // Rank `origin`, whose losses are row `row`.
  const auto sentence = [&](size_t origin, size_t row, const std::string& images, const std::string& where) {
    return absl::StrCat("step ", trial.step, ", rank ", origin, ": ", WhatIsOdd(outcome, row), " (images ", images, ")",
                        where);
  };
  StatusOr<NotFiniteFinding> finding = NotFiniteFinding();
  const Status ran = CatchDeviceError([&] {
    finding = FindWhereNotFinite(trial);
    return absl::OkStatus();
  });
  if (!ran.ok() && !absl::IsResourceExhausted(ran)) return ran;
  if (!ran.ok()) finding = ran;
  if (!trial.collective) {
    const bool found = finding.ok() && finding->order >= 0;
    return sentence(me, 0, absl::StrJoin(image_ids, ", "),
                    WhereItIs(found, finding.ok() ? finding->where : std::string(finding.status().message())));
  }
  size_t origin = 0;
  while (origin + 1 < outcome.losses.size() && OddLoss(outcome, origin).empty()) ++origin;
  if (OddLoss(outcome, origin).empty()) origin = 0;
  const std::string unknown = origin == me ? absl::StrJoin(image_ids, ", ") : "unknown";
  const auto of_all = AllGatherStrings(*trial.communicator, ToText(finding, image_ids), *trial.device);
  if (!of_all.ok()) return sentence(origin, origin, unknown, "");
  int64_t least = -1;
  for (size_t rank = 0; rank < of_all->size(); ++rank) {
    int64_t order = -1;
    const std::vector<std::string> lines = absl::StrSplit((*of_all)[rank], '\n');
    if (!absl::SimpleAtoi(lines[0], &order) || order < 0 || (least >= 0 && order >= least)) continue;
    least = order;
    origin = rank;
  }
  const std::vector<std::string> lines = absl::StrSplit((*of_all)[origin], '\n');
  return sentence(origin, origin, lines.back(), WhereItIs(least >= 0, lines[1]));
}

}  // namespace trireme
