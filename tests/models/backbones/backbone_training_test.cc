// What all backbones have in common: the choice of norm, and stages that are not trained.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/api/backbone.h"
#include "core/autograd/tape.h"
#include "core/base/random.h"
#include "core/base/registry.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"
#include "core/nn/parameter_arena.h"

namespace trireme {
namespace {

struct Kind {
  const char* key;
  const char* fields;
  int stages;
};

const Kind kKinds[] = {
    {"vgg16", "batch_norm: true extra { narrow_channels: 8 channels: 8 }", 6},
    {"resnet", "depth: 18 stages: 2 maps: 2", 3},
    {"resnet_small", "stem_channels: 8 zero_init_residual: false", 5},
    {"darknet", "width: 0.125 strides: [8, 16]", 4},
    {"mobilenet_v2", "", 6},
    {"mobilenet_v3_large", "extra_channels: 8", 6},
};

class AllBackbones : public ::testing::TestWithParam<Kind> {
 protected:
  StatusOr<std::unique_ptr<Backbone>> Make(const std::string& norm, int frozen) const {
    const Kind& kind = GetParam();
    Config config;
    TRIREME_RETURN_IF_ERROR(ParseText(absl::StrCat("model { [backbone/", kind.key, "] { ", kind.fields,
                                                   " norm { mode: ", norm, " } frozen_stages: ", frozen, " } }"),
                                      "test", &config));
    return CreateComponent<Backbone>(config.model(), "backbone", {});
  }

  struct Result {
    std::vector<std::vector<float>> maps;
    std::map<std::string, std::vector<float>> gradients;  // of what is trained
    std::map<std::string, std::vector<float>> buffers;
    std::map<std::string, float> initial_buffers;
    int recorded;
  };

  // Forward in training mode, and backward from noise.
  Result Run(std::unique_ptr<Backbone> given) const {
    const auto device = *MakeDevice("cpu", 2);
    device->BindToThisThread();
    const auto backbone = std::move(given);  // ends before its device
    const auto arena = *ParameterArena::Build(backbone.get(), *device, 1, 1);
    const int64_t side = 64;
    Random random(1, RandomUse::kSynthesis);
    std::vector<float> pixels(2 * side * side * 3);
    for (float& pixel : pixels) pixel = random.Normal();
    Tape tape(arena->Vars(), nullptr);
    Context context(*device);
    context.training = true;
    context.tape = &tape;
    Result result;
    {
      const std::vector<Var> maps = backbone->Forward(context, Var(Tensor::From(*device, {2, side, side, 3}, pixels)));
      for (const Var& map : maps) {
        result.maps.push_back(map.value().ToVector<float>());
        std::vector<float> noise(map.value().size());
        for (float& value : noise) value = random.Normal();
        if (map.requires_gradient()) {
          map.AccumulateGradient(Tensor::From(*device, map.shape(), noise), context.stream());
        }
      }
    }
    result.recorded = tape.size();
    tape.Backward({}, context.stream());
    const std::vector<float> gradients = arena->gradients().ToVector<float>();
    for (const Parameter* p : arena->parameters()) {
      if (!p->options.trainable) continue;
      const auto begin = gradients.begin() + p->offset;
      result.gradients[p->name].assign(begin, begin + p->shape.size());
    }
    for (const Buffer* buffer : arena->buffers()) {
      result.buffers[buffer->name] = buffer->value.ToVector<float>();
      result.initial_buffers[buffer->name] = buffer->initial;
    }
    return result;
  }
};

TEST_P(AllBackbones, TrainWithEveryNorm) {
  std::vector<std::vector<std::vector<float>>> outcomes;
  for (const char* norm : {"FROZEN", "PER_WORKER", "SYNCHRONIZED", "GROUP"}) {
    SCOPED_TRACE(norm);
    auto backbone = Make(norm, 0);
    ASSERT_TRUE(backbone.ok()) << backbone.status();
    const Result result = Run(*std::move(backbone));
    EXPECT_FALSE(result.gradients.empty());
    for (const auto& [name, gradient] : result.gradients) {
      double sum = 0;
      for (const float value : gradient) sum += std::abs(value);
      EXPECT_TRUE(std::isfinite(sum)) << name;
      EXPECT_GT(sum, 0) << name;
    }
    for (const std::vector<float>& map : result.maps) {
      for (const float value : map) ASSERT_TRUE(std::isfinite(value));
    }
    EXPECT_EQ(result.buffers.empty(), std::string(norm) == "GROUP");
    outcomes.push_back(result.maps);
  }
  EXPECT_EQ(outcomes[1], outcomes[2]) << "of one worker the two are the same";
  EXPECT_NE(outcomes[0], outcomes[1]);
  EXPECT_NE(outcomes[3], outcomes[1]);
}

// With norms that do not change, freezing changes nothing but what is computed: the first stages' gradients are not,
// all others are the same bits.
TEST_P(AllBackbones, FreezeTheirFirstStages) {
  const Result free = Run(*Make("FROZEN", 0));
  size_t trained = free.gradients.size();
  int recorded = free.recorded;
  for (const int stages : {1, GetParam().stages}) {
    SCOPED_TRACE(stages);
    const Result frozen = Run(*Make("FROZEN", stages));
    EXPECT_EQ(frozen.maps, free.maps);
    EXPECT_LT(frozen.gradients.size(), trained);
    EXPECT_LT(frozen.recorded, recorded) << "functions to go back through";
    for (const auto& [name, gradient] : frozen.gradients) EXPECT_EQ(gradient, free.gradients.at(name)) << name;
    trained = frozen.gradients.size();
    recorded = frozen.recorded;
  }
  for (const int wrong : {-1, GetParam().stages + 1}) {
    const Status status = Make("FROZEN", wrong).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(absl::StrCat("frozen_stages is ", wrong)), absl::string_view::npos) << status;
  }
}

// Else the running statistics of what is not trained would go on changing.
TEST_P(AllBackbones, FrozenNormsKeepTheirStatistics) {
  const Result result = Run(*Make("PER_WORKER", 2));
  int kept = 0, changed = 0;
  for (const auto& [name, values] : result.buffers) {
    const bool is_trained = result.gradients.count(name.substr(0, name.rfind('.')) + ".weight") > 0;
    const float initial = result.initial_buffers.at(name);
    const bool is_kept = std::all_of(values.begin(), values.end(), [&](float value) { return value == initial; });
    EXPECT_EQ(is_kept, !is_trained) << name;
    ++(is_trained ? changed : kept);
  }
  EXPECT_GT(kept, 0);
  EXPECT_GT(changed, 0);
}

INSTANTIATE_TEST_SUITE_P(Kinds, AllBackbones, ::testing::ValuesIn(kKinds),
                         [](const ::testing::TestParamInfo<Kind>& info) { return std::string(info.param.key); });

}  // namespace
}  // namespace trireme
