#include "core/train/optimizers/rules.h"

#include <algorithm>
#include <cmath>

#include "core/device/parallel_for.h"

namespace trireme {
namespace {

// A thread's start costs about as much as updating this many values.
constexpr int64_t kGrain = 32768;

// What fits into the arguments of a kernel, 4 KiB.
template <class Rule>
struct RuleChunk {
  static constexpr size_t kMost = 16;
  Rule rules[kMost];
  int64_t count;
};

template <class Rule>
void Write(const std::vector<Rule>& rules, const Tensor& to, Stream& stream) {
  CHECK(to.defined()) << "the optimizer was not set up by its strategy (Strategy::Setup, core/api/strategy.h)";
  CHECK_EQ(to.size(), static_cast<int64_t>(rules.size() * sizeof(Rule) / sizeof(float)));
  for (size_t first = 0; first < rules.size(); first += RuleChunk<Rule>::kMost) {
    RuleChunk<Rule> chunk;
    chunk.count = static_cast<int64_t>(std::min(RuleChunk<Rule>::kMost, rules.size() - first));
    std::copy_n(rules.begin() + first, chunk.count, chunk.rules);
    Rule* out = reinterpret_cast<Rule*>(to.data<float>()) + first;
    ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) {
      for (int64_t k = 0; k < chunk.count; ++k) out[k] = chunk.rules[k];
    });
  }
}

// `element(rule, multiplier, i)` updates element i of the arrays, which is the arena's element.at.begin + i.
template <class Rule, class Element>
void UpdateElements(const RuleMap& map, const Tensor& rules, int64_t begin, int64_t end, const UpdateControl& control,
                    Stream& stream, const Element& element) {
  const Rule* table = reinterpret_cast<const Rule*>(rules.data<float>());
  const float* multiplier = control.gradient_multiplier;
  const int32_t* apply = control.apply;
  const int64_t origin = element.at.begin;
  if (map.by_line.defined()) {
    const uint8_t* by_line = map.by_line.data<uint8_t>();
    const auto update = [=] TRIREME_HD(int64_t offset) {
      if (apply != nullptr && *apply == 0) return;
      const int64_t i = begin + offset;
      const uint8_t rule = by_line[i / RuleMap::kLine];
      if (rule != RuleMap::kNoRule) element(table[rule], multiplier != nullptr ? *multiplier : 1.0f, i - origin);
    };
    ParallelFor(stream, end - begin, update, kGrain);
    return;
  }
  // Run by run, so that the compiler sees a loop with constants, and makes vector code of it.
  Device& device = stream.device();
  for (const TrainedRun& run : IntersectRuns(map.runs, begin, end)) {
    stream.Enqueue([=, &device] {
      if (apply != nullptr && *apply == 0) return;
      const Rule rule = table[run.rule];
      const float factor = multiplier != nullptr ? *multiplier : 1.0f;
      CpuParallelRanges(device, run.end - run.begin, kGrain, [&](int64_t first, int64_t last) {
        // Copies of its own: a store could change what is captured by reference, as far as the compiler knows.
        const Element update = element;
        const Rule by = rule;
        const float multiplied = factor;
        const int64_t start = run.begin - origin;
        for (int64_t i = start + first; i < start + last; ++i) update(by, multiplied, i);
      });
    });
  }
}

struct PlainSgd {
  SgdArrays at;
  TRIREME_HD void operator()(const SgdRule& rule, float multiplier, int64_t i) const {
    at.values[i] -= rule.learning_rate * (multiplier * at.gradients[i] + rule.weight_decay * at.values[i]);
  }
};

struct MomentumSgd {
  SgdArrays at;
  float momentum;
  TRIREME_HD void operator()(const SgdRule& rule, float multiplier, int64_t i) const {
    const float d = multiplier * at.gradients[i] + rule.weight_decay * at.values[i];
    const float v = momentum * at.velocity[i] + d;
    at.velocity[i] = v;
    at.values[i] -= rule.learning_rate * v;
  }
};

struct NesterovSgd {
  SgdArrays at;
  float momentum;
  TRIREME_HD void operator()(const SgdRule& rule, float multiplier, int64_t i) const {
    const float d = multiplier * at.gradients[i] + rule.weight_decay * at.values[i];
    const float v = momentum * at.velocity[i] + d;
    at.velocity[i] = v;
    at.values[i] -= rule.learning_rate * (d + momentum * v);
  }
};

struct Adam {
  AdamArrays at;
  float beta1, beta2, rest1, rest2, epsilon;
  TRIREME_HD void operator()(const AdamRule& rule, float multiplier, int64_t i) const {
    const float w = at.values[i] * rule.shrinkage;
    const float d = multiplier * at.gradients[i] + rule.l2_decay * w;
    const float m = beta1 * at.first_moment[i] + rest1 * d;
    const float v = beta2 * at.second_moment[i] + rest2 * (d * d);
    at.first_moment[i] = m;
    at.second_moment[i] = v;
    at.values[i] = w - rule.step_size * m / (sqrtf(v) / rule.correction + epsilon);
  }
};

}  // namespace

void WriteRules(const std::vector<SgdRule>& rules, const Tensor& to, Stream& stream) { Write(rules, to, stream); }
void WriteRules(const std::vector<AdamRule>& rules, const Tensor& to, Stream& stream) { Write(rules, to, stream); }

void UpdateBySgd(const RuleMap& map, const Tensor& rules, const SgdConstants& constants, const SgdArrays& arrays,
                 int64_t begin, int64_t end, const UpdateControl& control, Stream& stream) {
  if (constants.momentum == 0.0f) {
    UpdateElements<SgdRule>(map, rules, begin, end, control, stream, PlainSgd{arrays});
  } else if (constants.nesterov) {
    UpdateElements<SgdRule>(map, rules, begin, end, control, stream, NesterovSgd{arrays, constants.momentum});
  } else {
    UpdateElements<SgdRule>(map, rules, begin, end, control, stream, MomentumSgd{arrays, constants.momentum});
  }
}

void UpdateByAdam(const RuleMap& map, const Tensor& rules, const AdamConstants& constants, const AdamArrays& arrays,
                  int64_t begin, int64_t end, const UpdateControl& control, Stream& stream) {
  const Adam element = {
      arrays, constants.beta1, constants.beta2, 1.0f - constants.beta1, 1.0f - constants.beta2, constants.epsilon};
  UpdateElements<AdamRule>(map, rules, begin, end, control, stream, element);
}

}  // namespace trireme
