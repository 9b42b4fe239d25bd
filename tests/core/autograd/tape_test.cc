#include "core/autograd/tape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/random.h"

namespace trireme {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class Sink : public GradientSink {
 public:
  // Keeps the gradients as they are when they are reported.
  explicit Sink(const std::vector<Tensor>& gradients) : gradients_(gradients) {}
  void OnGradientReady(int index) override {
    order.push_back(index);
    seen.push_back(gradients_[index].ToVector<float>());
  }
  std::vector<int> order;
  std::vector<std::vector<float>> seen;

 private:
  const std::vector<Tensor>& gradients_;
};

// Parameters of two values each, and the functions a + b, a * b (elementwise), 2 a and sum(a).
class TapeTest : public ::testing::Test {
 protected:
  TapeTest() : context_(*device_) {}

  Var AddParameter(const std::vector<float>& values) {
    const Tensor gradient = Tensor::From<float>(*device_, {2}, {-77, -77});  // what an earlier step left
    gradients_.push_back(gradient);
    parameters_.push_back(
        Var::Parameter(Tensor::From<float>(*device_, {2}, values), gradient, static_cast<int>(parameters_.size())));
    return parameters_.back();
  }
  Var AddFrozen(const std::vector<float>& values) {
    gradients_.push_back(Tensor::From<float>(*device_, {2}, {-77, -77}));
    parameters_.push_back(Var(Tensor::From<float>(*device_, {2}, values)));
    return parameters_.back();
  }
  Var Constant(const std::vector<float>& values) { return Var(Tensor::From<float>(*device_, {2}, values)); }

  template <class F>
  Tensor Map(const Tensor& a, const Tensor& b, const F& f) {
    Tensor result = Tensor::Empty(*device_, a.shape());
    for (int64_t i = 0; i < a.size(); ++i) result.data<float>()[i] = f(a.data<float>()[i], b.data<float>()[i]);
    return result;
  }
  Var Sum2(const Var& a, const Var& b) {
    return Record(context_, "add", Map(a.value(), b.value(), [](float x, float y) { return x + y; }), {a, b},
                  [this, a, b](Tensor gradient) {
                    // Both take the same tensor, as an addition does.
                    if (a.requires_gradient()) a.AccumulateGradient(gradient, stream());
                    if (b.requires_gradient()) b.AccumulateGradient(gradient, stream());
                  });
  }
  Var Product(const Var& a, const Var& b) {
    const auto times = [](float x, float y) { return x * y; };
    return Record(context_, "product", Map(a.value(), b.value(), times), {a, b}, [=](Tensor gradient) {
      if (a.requires_gradient()) a.AccumulateGradient(Map(gradient, b.value(), times), stream());
      if (b.requires_gradient()) b.AccumulateGradient(Map(gradient, a.value(), times), stream());
    });
  }
  // Writes its gradient in place, through GradientTarget.
  Var Double(const Var& a) {
    return Record(context_, "double", Map(a.value(), a.value(), [](float x, float) { return 2 * x; }), {a},
                  [a](Tensor gradient) {
                    bool accumulate = false;
                    const Tensor target = a.GradientTarget(&accumulate);
                    for (int64_t i = 0; i < target.size(); ++i) {
                      float& out = target.data<float>()[i];
                      out = (accumulate ? out : 0) + 2 * gradient.data<float>()[i];
                    }
                  });
  }
  Var Total(const Var& a) {
    float total = 0;
    for (float value : a.value().ToVector<float>()) total += value;
    return Record(context_, "total", Tensor::From<float>(*device_, {1}, {total}), {a}, [this, a](Tensor gradient) {
      const float g = gradient.data<float>()[0];
      a.AccumulateGradient(Tensor::From<float>(*device_, a.shape(), std::vector<float>(a.value().size(), g)), stream());
    });
  }

  // Runs one step; returns each parameter's gradient as it was reported.
  std::vector<std::vector<float>> Step(const std::function<std::vector<Var>()>& losses) {
    Sink sink(gradients_);
    Tape tape(parameters_, &sink);
    context_.tape = &tape;
    tape.Backward(losses(), stream());
    EXPECT_EQ(tape.size(), 0);
    context_.tape = nullptr;
    order_ = sink.order;
    std::vector<int> sorted = order_;
    std::sort(sorted.begin(), sorted.end());
    for (size_t i = 0; i < sorted.size(); ++i) EXPECT_EQ(sorted[i], static_cast<int>(i)) << "reported once each";
    EXPECT_EQ(sorted.size(), parameters_.size());
    std::vector<std::vector<float>> by_parameter(parameters_.size());
    for (size_t i = 0; i < order_.size(); ++i) {
      by_parameter[order_[i]] = sink.seen[i];
      EXPECT_EQ(gradients_[order_[i]].ToVector<float>(), sink.seen[i]) << "complete when it is reported";
    }
    return by_parameter;
  }

  Stream& stream() { return device_->compute_stream(); }

  std::unique_ptr<Device> device_ = *MakeDevice("cpu", 1);
  Context context_;
  std::vector<Var> parameters_;
  std::vector<Tensor> gradients_;
  std::vector<int> order_;
};

TEST_F(TapeTest, FollowsTheChainRule) {
  const Var p = AddParameter({3, -1}), q = AddParameter({5, 2});
  const auto g = Step([&] { return std::vector<Var>{Total(Product(Double(p), q))}; });
  EXPECT_THAT(g[0], ElementsAre(10, 4));
  EXPECT_THAT(g[1], ElementsAre(6, -2));
}

TEST_F(TapeTest, OneVarUsedTwiceInOneFunction) {
  const Var p = AddParameter({3, -1});
  EXPECT_THAT(Step([&] { return std::vector<Var>{Total(Product(p, p))}; })[0], ElementsAre(6, -2));
  EXPECT_THAT(Step([&] { return std::vector<Var>{Total(Sum2(p, p))}; })[0], ElementsAre(2, 2));
  EXPECT_THAT(Step([&] {
                const Var d = Double(p);
                return std::vector<Var>{Total(Sum2(d, d))};
              })[0],
              ElementsAre(4, 4));
}

// d's consumers give it the very tensor that another Var got too: adding into it would change that one's.
TEST_F(TapeTest, SharedGradientsAreNotWrittenInto) {
  const Var p = AddParameter({3, -1}), q = AddParameter({5, 2});
  const auto g = Step([&] {
    const Var d = Double(p), e = Double(q);
    const Var s = Sum2(d, e);  // d and e share its gradient
    const Var t = Sum2(d, s);  // and s shares t's with d
    return std::vector<Var>{Total(Product(t, Constant({1, 10})))};
  });
  EXPECT_THAT(g[0], ElementsAre(4, 40));
  EXPECT_THAT(g[1], ElementsAre(2, 20));
}

TEST_F(TapeTest, GradientTargetAddsToWhatIsShared) {
  const Var p = AddParameter({3, -1}), q = AddParameter({5, 2});
  const auto g = Step([&] {
    const Var d = Product(p, Constant({1, 1})), e = Product(q, Constant({1, 1}));
    const Var doubled = Double(d);  // runs backwards after the sum, so it adds to a shared gradient
    const Var sum = Sum2(d, e);
    return std::vector<Var>{Total(sum), Total(doubled)};
  });
  EXPECT_THAT(g[0], ElementsAre(3, 3));
  EXPECT_THAT(g[1], ElementsAre(1, 1));
}

TEST_F(TapeTest, OneParameterUsedManyTimesIsReportedAfterTheLast) {
  const Var p = AddParameter({3, -1}), q = AddParameter({5, 2});
  const auto g = Step([&] {
    Var x = Product(p, p);
    x = Double(Sum2(x, p));
    x = Sum2(Product(x, q), p);
    return std::vector<Var>{Total(x), Total(Double(p))};
  });
  // 2 (p^2 + p) q + p + 2 p
  EXPECT_THAT(g[0], ElementsAre(2 * (2 * 3 + 1) * 5 + 3, 2 * (2 * -1 + 1) * 2 + 3));
  EXPECT_THAT(g[1], ElementsAre(2 * (9 + 3), 0));
  EXPECT_THAT(order_, ElementsAre(1, 0));
}

TEST_F(TapeTest, ReportsInTheOrderInWhichGradientsComplete) {
  std::vector<Var> p;
  for (int i = 0; i < 5; ++i) p.push_back(AddParameter({1, 2}));
  Step([&] {
    Var x = Constant({1, 1});
    for (int i : {0, 1, 3, 4}) x = Product(x, p[i]);  // 2 is not used
    return std::vector<Var>{Total(x)};
  });
  EXPECT_THAT(order_, ElementsAre(4, 3, 1, 0, 2));
}

TEST_F(TapeTest, WhatIsNotUsedHasZeroGradients) {
  const Var used = AddParameter({3, -1});
  AddParameter({5, 2});                      // not used at all
  const Var no_loss = AddParameter({5, 2});  // used for what no loss sees
  const auto g = Step([&] {
    Double(no_loss);
    return std::vector<Var>{Total(used)};
  });
  EXPECT_THAT(g[0], ElementsAre(1, 1));
  EXPECT_THAT(g[1], ElementsAre(0, 0));
  EXPECT_THAT(g[2], ElementsAre(0, 0));
}

TEST_F(TapeTest, TellsWhatNoGradientCameTo) {
  const Var used = AddParameter({3, -1}), unused = AddParameter({5, 2}), no_loss = AddParameter({5, 2});
  AddFrozen({1, 1});
  Tape tape(parameters_, nullptr);
  context_.tape = &tape;
  EXPECT_THAT(tape.unreached(), IsEmpty());
  Double(no_loss);
  tape.Backward({Total(used)}, stream());
  EXPECT_THAT(tape.unreached(), UnorderedElementsAre(1, 2));
  tape.Backward({Total(Sum2(used, Product(unused, no_loss)))}, stream());
  EXPECT_THAT(tape.unreached(), IsEmpty());
  context_.tape = nullptr;
}

TEST_F(TapeTest, FrozenParametersAreReportedAndLeftAlone) {
  const Var frozen = AddFrozen({5, 2});
  const Var p = AddParameter({3, -1});
  const auto g = Step([&] { return std::vector<Var>{Total(Product(frozen, p))}; });
  EXPECT_THAT(g[0], ElementsAre(-77, -77));
  EXPECT_THAT(g[1], ElementsAre(5, 2));
}

TEST_F(TapeTest, AStepDoesNotSeeTheOneBefore) {
  const Var p = AddParameter({3, -1}), q = AddParameter({5, 2});
  for (int step = 0; step < 3; ++step) {
    const bool use_q = step != 1;
    const auto g = Step([&] { return std::vector<Var>{Total(use_q ? Product(p, q) : Double(p))}; });
    EXPECT_EQ(g[0], use_q ? (std::vector<float>{5, 2}) : (std::vector<float>{2, 2}));
    EXPECT_EQ(g[1], use_q ? (std::vector<float>{3, -1}) : (std::vector<float>{0, 0}));
  }
}

TEST_F(TapeTest, LossesAddUpAndMayBeConstant) {
  const Var p = AddParameter({3, -1});
  const auto g = Step([&] {
    const Var total = Total(p);
    return std::vector<Var>{total, total, Total(Double(p)), Total(Constant({1, 1}))};
  });
  EXPECT_THAT(g[0], ElementsAre(4, 4));
}

TEST_F(TapeTest, AStepWithoutLossesStillReportsAll) {
  AddParameter({3, -1});
  EXPECT_THAT(Step([] { return std::vector<Var>(); })[0], ElementsAre(0, 0));
}

TEST_F(TapeTest, RecordsOnlyWhatATapeAndAGradientAskFor) {
  const Var p = AddParameter({3, -1});
  EXPECT_FALSE(NeedsGradient(context_, {p}));
  EXPECT_FALSE(Double(p).requires_gradient());
  Tape tape(parameters_, nullptr);
  context_.tape = &tape;
  EXPECT_FALSE(NeedsGradient(context_, {Constant({1, 1}), Var()}));
  EXPECT_FALSE(Sum2(Constant({1, 1}), Constant({1, 1})).requires_gradient());
  EXPECT_EQ(tape.size(), 0);
  EXPECT_TRUE(NeedsGradient(context_, {Var(), p}));
  EXPECT_TRUE(Double(p).requires_gradient());
  EXPECT_EQ(tape.size(), 1);
}

TEST_F(TapeTest, FreesWhatForwardKeptAsItGoes) {
  const Var p = AddParameter({3, -1});
  const int64_t before = device_->memory().in_use[static_cast<int>(MemoryKind::kActivations)];
  {
    Tape tape(parameters_, nullptr);
    context_.tape = &tape;
    Var x = p;
    for (int i = 0; i < 50; ++i) x = Product(x, p);
    const Var loss = Total(x);
    x = Var();
    tape.Backward({loss}, stream());
    context_.tape = nullptr;
  }
  EXPECT_EQ(device_->memory().in_use[static_cast<int>(MemoryKind::kActivations)], before);
}

TEST_F(TapeTest, AddsToWhatEarlierPassesLeft) {
  const Var a = AddParameter({3, -1}), b = AddParameter({2, 5}), unused = AddParameter({1, 1}),
            frozen = AddFrozen({1, 1});
  // Through AccumulateGradient and GradientTarget, twice each.
  const auto loss = [&] { return std::vector<Var>{Total(Sum2(Product(a, b), Double(Double(Sum2(a, b)))))}; };
  const auto gradients = Step(loss);
  const auto pass = [&](float weight, bool add, GradientSink* sink) {
    Tape tape(parameters_, sink);
    context_.tape = &tape;
    BackwardOptions options;
    options.weight = weight;
    options.add = add;
    tape.Backward(loss(), stream(), options);
    context_.tape = nullptr;
  };
  for (Tensor& gradient : gradients_) gradient.CopyFromHost(std::vector<float>{9, 9}.data());
  pass(0.5f, false, nullptr);
  pass(2, true, nullptr);
  Sink sink(gradients_);
  pass(1, true, &sink);
  ASSERT_EQ(sink.order.size(), parameters_.size());
  for (size_t i = 0; i < sink.order.size(); ++i) {
    const int index = sink.order[i];
    if (!parameters_[index].requires_gradient()) continue;
    for (int d = 0; d < 2; ++d) EXPECT_FLOAT_EQ(sink.seen[i][d], 3.5f * gradients[index][d]) << index;
  }
  EXPECT_THAT(gradients_[2].ToVector<float>(), ElementsAre(0, 0)) << "of the parameter that is not used";
}

// Against central differences, over random programs of the four functions.
TEST_F(TapeTest, RandomProgramsHaveTheRightGradients) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    parameters_.clear();
    gradients_.clear();
    Random values(seed, RandomUse::kInitialisation);
    for (int i = 0; i < 3; ++i) AddParameter({values.Uniform(-1, 1), values.Uniform(-1, 1)});
    const auto loss = [&] {
      Random random(seed, RandomUse::kSampling);
      std::vector<Var> vars = parameters_;
      for (int i = 0; i < 8; ++i) {
        const Var a = vars[random.Below(static_cast<uint32_t>(vars.size()))];
        const Var b = vars[random.Below(static_cast<uint32_t>(vars.size()))];
        const uint32_t function = random.Below(3);
        vars.push_back(function == 0 ? Sum2(a, b) : function == 1 ? Product(a, b) : Double(a));
      }
      return std::vector<Var>{Total(vars.back()), Total(vars[vars.size() - 2])};
    };
    const auto gradients = Step(loss);
    const auto value = [&] {
      float sum = 0;
      for (const Var& l : loss()) sum += l.value().ToVector<float>()[0];
      return sum;
    };
    for (int p = 0; p < 3; ++p) {
      for (int i = 0; i < 2; ++i) {
        float& x = parameters_[p].value().data<float>()[i];
        const float old = x, h = 1e-2f;
        x = old + h;
        const float high = value();
        x = old - h;
        const float low = value();
        x = old;
        const float difference = (high - low) / (2 * h);
        EXPECT_NEAR(gradients[p][i], difference, 0.02f * (1 + std::abs(difference))) << "seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace trireme
