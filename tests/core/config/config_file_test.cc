#include "core/config/config_file.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "core/config/config.pb.h"
#include "tests/core/testing/temporary_folder.h"
#include "tests/core/testing/things.h"
#include "tests/core/testing/things.pb.h"

namespace trireme {
namespace {

using google::protobuf::util::MessageDifferencer;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::LeafConfig;
using testing::NestConfig;
using ::testing::StartsWith;
using testing::Thing;

constexpr char kText[] = R"(
model { [thing/nest] { inner { [thing/leaf] { size: 3 name: "three" } } } }
transforms { [thing/leaf] { numbers: [1, 2, 3] } }
transforms { [thing/leaf] { color: GREEN } }
steps: 70
loader { threads: 2 }
)";

std::string Message(const Status& status) { return std::string(status.message()); }

Config Parsed(const std::string& text = kText) {
  Config config;
  const Status status = ParseText(text, "test", &config);
  EXPECT_TRUE(status.ok()) << status;
  return config;
}

template <class M>
M Unpacked(const google::protobuf::Any& any) {
  M message;
  EXPECT_TRUE(message.ParseFromString(any.value()));
  return message;
}

NestConfig Nest(const Config& config) { return Unpacked<NestConfig>(config.model()); }
LeafConfig Leaf(const Config& config, int transform) { return Unpacked<LeafConfig>(config.transforms(transform)); }

TEST(ParseTextTest, ComponentsAreFoundByTheirKeys) {
  const Config config = Parsed();
  EXPECT_EQ(config.model().type_url(), "thing/nest");
  EXPECT_EQ(Nest(config).inner().type_url(), "thing/leaf");
  EXPECT_EQ(Unpacked<LeafConfig>(Nest(config).inner()).name(), "three");
  EXPECT_THAT(Leaf(config, 0).numbers(), ElementsAre(1, 2, 3));
  EXPECT_EQ(config.steps(), 70);
  const auto made = CreateComponent<Thing>(config.model(), "model", {});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ((*made)->Describe(), "nest of leaf of 3");
}

TEST(ParseTextTest, AMisspeltFieldHasItsLineAndColumn) {
  Config config;
  const Status top = ParseText("steps: 3\n  stepps: 4\n", "my.pbtxt", &config);
  EXPECT_EQ(top.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(top), AllOf(StartsWith("my.pbtxt:2:"), HasSubstr("stepps")));

  const Status inner =
      ParseText("model {\n  [thing/nest] {\n    inner { [thing/leaf] { sise: 4 } }\n  }\n}\n", "my.pbtxt", &config);
  EXPECT_THAT(Message(inner), AllOf(StartsWith("my.pbtxt:3:"), HasSubstr("sise")));
}

TEST(ParseTextTest, AnUnknownComponentNamesTheNearest) {
  Config config;
  const Status status = ParseText("steps: 1\n\nmodel { [thing/laef] { size: 4 } }\n", "my.pbtxt", &config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(status), AllOf(StartsWith("my.pbtxt:3:"), HasSubstr("thing/laef"),
                                     HasSubstr("did you mean thing/leaf?"), HasSubstr("thing/nest")));
}

TEST(ParseTextTest, RefusesWrongValues) {
  for (const char* text :
       {"steps: many", "steps: 3 steps: 4", "steps: 99999999999999999999", "loader { threads: 2",
        "model { [thing/leaf] { color: BLUE } }", "model { [thing/leaf] }", "steps: 3 }", "out: bare"}) {
    Config config;
    const Status status = ParseText(text, "t", &config);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(Message(status), StartsWith("t:1:")) << text;
  }
}

TEST(ParseTextTest, FilesAreNamed) {
  const testing::TemporaryFolder folder;
  Config config;
  EXPECT_TRUE(ParseTextFile(folder.Write("good.pbtxt", kText), &config).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(config, Parsed()));
  EXPECT_THAT(Message(ParseTextFile(folder.Write("bad.pbtxt", "\nstepps: 1"), &config)),
              StartsWith(folder / "bad.pbtxt" + ":2:"));
  const Status missing = ParseTextFile(folder / "none.pbtxt", &config);
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(missing), HasSubstr(folder / "none.pbtxt"));
  // An empty file is a config; a folder is none.
  EXPECT_FALSE(ParseTextFile(folder.path(), &config).ok());
}

TEST(PrintTextTest, IsReadBack) {
  for (const char* text : {kText, "", "out: \"a \\\"quoted\\\" \\303\\244 name\"", "model { [thing/leaf] { } }"}) {
    const Config config = Parsed(text);
    const std::string printed = PrintText(config);
    EXPECT_TRUE(MessageDifferencer::Equals(Parsed(printed), config)) << printed;
    EXPECT_EQ(PrintText(Parsed(printed)), printed);
  }
  EXPECT_THAT(PrintText(Parsed()), AllOf(HasSubstr("[thing/nest]"), HasSubstr("size: 3")));
}

TEST(ApplyOverrideTest, SetsWhatTheFileCouldSay) {
  struct Case {
    const char* assignment;
    const char* same_as;  // appended to kText
  };
  for (const Case& c : std::initializer_list<Case>{
           {"seed=9", "seed: 9"},
           {" seed = 9 ", "seed: 9"},
           {"seed=18446744073709551615", "seed: 18446744073709551615"},
           {"device=cuda:1", "device: \"cuda:1\""},
           {"device=\"cpu\"", "device: \"cpu\""},
           {"device='cpu'", "device: \"cpu\""},
           {"device=", "device: \"\""},
           {"out=a=b c.d", "out: \"a=b c.d\""},
           {"out=back\\slash", "out: \"back\\\\slash\""},
           {"log.every_steps=5", "log { every_steps: 5 }"},
           {"evaluation.voc2007=true", "evaluation { voc2007: true }"},
           {"plugin=a.so", "plugin: \"a.so\""},
           {"plugin=[\"a.so\", \"b.so\"]", "plugin: [\"a.so\", \"b.so\"]"},
           {"checkpoint={ every_steps: 5 keep: 1 }", "checkpoint { every_steps: 5 keep: 1 }"},
           {"strategy={ [thing/leaf] { size: 8 } }", "strategy { [thing/leaf] { size: 8 } }"},
       }) {
    Config config = Parsed();
    const Status status = ApplyOverride(c.assignment, &config);
    EXPECT_TRUE(status.ok()) << c.assignment << ": " << status;
    EXPECT_TRUE(MessageDifferencer::Equals(config, Parsed(std::string(kText) + c.same_as)))
        << c.assignment << " gives\n"
        << PrintText(config);
  }
}

TEST(ApplyOverrideTest, ReplacesWhatIsThere) {
  Config config = Parsed();
  EXPECT_TRUE(ApplyOverride("steps=5", &config).ok());
  EXPECT_EQ(config.steps(), 5);
  EXPECT_TRUE(ApplyOverride("loader={ prefetch: 9 }", &config).ok());
  EXPECT_FALSE(config.loader().has_threads());
  EXPECT_TRUE(ApplyOverride("model={ [thing/leaf] { size: 1 } }", &config).ok());
  EXPECT_EQ(config.model().type_url(), "thing/leaf");
  EXPECT_TRUE(ApplyOverride("transforms=[]", &config).ok());
  EXPECT_EQ(config.transforms_size(), 0);
}

TEST(ApplyOverrideTest, GoesThroughComponentsAndElements) {
  Config config = Parsed();
  for (const char* assignment :
       {"model.inner.name=four words in a name", "model.leaf.rate=2.5e-3", "transforms[1].color=RED",
        "transforms[1].flag=true", "transforms[0].numbers=[4, 5]", "transforms[0].numbers[1]=-6",
        "transforms[1].words=[\"a\", \"b c\"]", "transforms[1].words[0]=[x]", "model.leaves={ size: 5 }",
        "model.leaves[0].size=6", "model.parts=[{ [thing/leaf] { size: 1 } }, { [thing/leaf] { size: 2 } }]",
        "model.parts[1].size=9", "model.parts[0]={ [thing/leaf] { name: \"n\" } }"}) {
    const Status status = ApplyOverride(assignment, &config);
    EXPECT_TRUE(status.ok()) << assignment << ": " << status;
  }
  const LeafConfig inner = Unpacked<LeafConfig>(Nest(config).inner());
  EXPECT_EQ(inner.name(), "four words in a name");
  EXPECT_EQ(inner.size(), 3);
  EXPECT_FLOAT_EQ(Nest(config).leaf().rate(), 2.5e-3f);
  EXPECT_EQ(Leaf(config, 1).color(), LeafConfig::RED);
  EXPECT_TRUE(Leaf(config, 1).flag());
  EXPECT_THAT(Leaf(config, 0).numbers(), ElementsAre(4, -6));
  EXPECT_THAT(Leaf(config, 1).words(), ElementsAre("[x]", "b c"));
  EXPECT_EQ(Nest(config).leaves(0).size(), 6);
  EXPECT_EQ(Unpacked<LeafConfig>(Nest(config).parts(0)).name(), "n");
  EXPECT_EQ(Unpacked<LeafConfig>(Nest(config).parts(1)).size(), 9);
}

TEST(ApplyOverrideTest, RefusesWithAReasonAndChangesNothing) {
  struct Case {
    const char* assignment;
    const char* says;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"stepps=5", "Config has no field stepps; it has: model, train_data"},
           {"model.inner.sise=5", "LeafConfig has no field sise; it has: size, name, color"},
           {"strategy.size=5", "the config sets no strategy"},
           {"steps", "write path.to.field=value"},
           {"=5", "write path.to.field=value"},
           {"steps.x=5", "steps has no fields of its own"},
           {"steps..x=5", "empty field"},
           {"transforms.size=5", "name an element, as in field[0]"},
           {"transforms[2].size=5", "has 2 elements"},
           {"transforms[x].size=5", "is not field[index]"},
           {"transforms[-1].size=5", "is not field[index]"},
           {"transforms[0.size=5", "is not field[index]"},
           {"loader[0].threads=5", "is not repeated"},
           {"steps=five", "five"},
           {"steps=", "steps="},
           {"steps=5 workers: 3", "more than one value"},
           {"transforms[0].numbers[0]=[1, 2]", "more than one value"},
           {"seed=-1", "-1"},
           {"transforms[1].color=BLUE", "BLUE"},
           {"transforms[1].flag=perhaps", "perhaps"},
           {"loader={ threds: 1 }", "threds"},
           {"model={ [thing/laef] {} }", "did you mean thing/leaf?"},
       }) {
    Config config = Parsed();
    const Status status = ApplyOverride(c.assignment, &config);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.assignment;
    EXPECT_THAT(Message(status), AllOf(HasSubstr(c.says), HasSubstr(c.assignment))) << c.assignment;
    EXPECT_TRUE(MessageDifferencer::Equals(config, Parsed())) << c.assignment;
  }
}

TEST(PluginsNamedInTest, FindsThemWithoutParsingTheRest) {
  const auto plugins = PluginsNamedIn(R"(
# plugin: "commented.so"
plugin: "one.so"
model { [backbone/unknown] { plugin: "nested.so" words: "plugin: 'text.so'" } }
plugin: ["two.so", 'three.so']
plugin: "fo" "ur.so"
out: "plugin" steps: 3 device < plugin: "angled.so" >
)",
                                      "test");
  ASSERT_TRUE(plugins.ok()) << plugins.status();
  EXPECT_THAT(*plugins, ElementsAre("one.so", "two.so", "three.so", "four.so"));
  EXPECT_THAT(*PluginsNamedIn("", "test"), IsEmpty());
  EXPECT_THAT(*PluginsNamedIn(kText, "test"), IsEmpty());
}

TEST(PluginsNamedInTest, SaysWhereTheTextIsNoText) {
  const Status status = PluginsNamedIn("steps: 1\nout: \"no end\n", "my.pbtxt").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(status), StartsWith("my.pbtxt:2:"));
}

TEST(ListFields, NamesEachValueAsOverridesDo) {
  using Field = std::pair<std::string, std::string>;
  const Config config = Parsed();
  EXPECT_THAT(
      ListFields(config),
      ElementsAre(Field("model", "thing/nest"), Field("model.inner", "thing/leaf"), Field("model.inner.size", "3"),
                  Field("model.inner.name", "\"three\""), Field("transforms[0]", "thing/leaf"),
                  Field("transforms[0].numbers[0]", "1"), Field("transforms[0].numbers[1]", "2"),
                  Field("transforms[0].numbers[2]", "3"), Field("transforms[1]", "thing/leaf"),
                  Field("transforms[1].color", "GREEN"), Field("steps", "70"), Field("loader.threads", "2")));
  // What is listed can be set.
  for (const auto& [path, value] : ListFields(config)) {
    if (value.rfind("thing/", 0) == 0) continue;
    Config again = config;
    EXPECT_TRUE(ApplyOverride(path + "=" + value, &again).ok()) << path;
    EXPECT_TRUE(MessageDifferencer::Equals(again, config)) << path;
  }
}

}  // namespace
}  // namespace trireme
