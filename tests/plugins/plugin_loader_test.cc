#include "core/base/plugin_loader.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>

#include "core/api/backbone.h"
#include "core/base/files.h"
#include "core/base/registry.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"
#include "core/nn/parameter_arena.h"
#include "tests/core/testing/temporary_folder.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TemporaryFolder;

constexpr char kExample[] = "plugins/example_backbone/example_backbone.so";
constexpr char kOtherVersion[] = "tests/plugins/other_version.so";
constexpr char kText[] = "plugin: 'example_backbone.so'\nmodel { [backbone/example] { channels: [4, 6, 8] } }\n";

std::string Message(const Status& status) { return std::string(status.message()); }

std::vector<std::string> Keys() { return ComponentRegistry::Global().Keys(); }

// Tests run in the order in which they stand here: nothing is loaded yet.
TEST(PluginLoaderTest, BeforeItIsLoadedTheConfigNamesNothing) {
  Config config;
  const Status status = ParseText(kText, "my.pbtxt", &config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr("my.pbtxt:2:"), HasSubstr("backbone/example"), HasSubstr("plugins loaded: none")));
}

TEST(PluginLoaderTest, AnotherVersionIsRefusedBeforeAnyOfItRuns) {
  const auto before = Keys();
  const Status status = LoadPlugin(kOtherVersion);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), AllOf(HasSubstr("other_version.so"), HasSubstr("version 1001"),
                                     HasSubstr(absl::StrCat("version ", TRIREME_PLUGIN_ABI_VERSION)),
                                     HasSubstr("build the plugin again")));
  EXPECT_EQ(Keys(), before);
  EXPECT_EQ(getenv("TRIREME_TEST_OTHER_VERSION_RAN"), nullptr);
  // It would have left its trace.
  ASSERT_NE(dlopen(kOtherVersion, RTLD_NOW | RTLD_LOCAL), nullptr) << dlerror();
  EXPECT_NE(getenv("TRIREME_TEST_OTHER_VERSION_RAN"), nullptr);
}

TEST(PluginLoaderTest, OtherHeadersAreRefusedBeforeAnyOfItRuns) {
  const auto before = Keys();
  const Status status = LoadPlugin("tests/plugins/other_headers.so");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr("other_headers.so"), HasSubstr("other headers"), HasSubstr(TRIREME_PLUGIN_INTERFACE)));
  EXPECT_EQ(Keys(), before);
  EXPECT_EQ(getenv("TRIREME_TEST_OTHER_HEADERS_RAN"), nullptr);
}

TEST(PluginLoaderTest, WhatIsNoPluginIsRefused) {
  const auto before = Keys();
  const TemporaryFolder folder;
  for (const std::string& path :
       {std::string("tests/plugins/no_entry.so"), folder.Write("text.so", "not a library"),
        folder.Write("empty.so", ""), folder.Write("magic.so", "\177ELF"), std::string("/proc/self/exe")}) {
    const Status status = LoadPlugin(path);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << path << ": " << status;
    EXPECT_THAT(Message(status), HasSubstr("is no Trireme plugin"));
  }
  EXPECT_EQ(LoadPlugin(folder.path()).code(), absl::StatusCode::kInvalidArgument);
  const Status missing = LoadPlugin(folder / "missing.so");
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(missing), HasSubstr(folder / "missing.so"));
  EXPECT_EQ(Keys(), before);
}

TEST(PluginLoaderTest, ATruncatedPluginIsRefused) {
  const TemporaryFolder folder;
  const std::string bytes = *ReadFile(kExample);
  for (size_t size = 0; size < bytes.size(); size += 1 + bytes.size() / 100) {
    EXPECT_EQ(LoadPlugin(folder.Write("cut.so", bytes.substr(0, size))).code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(LoadPlugin(folder.Write("cut.so", bytes.substr(0, bytes.size() - 1))).code(),
            absl::StatusCode::kInvalidArgument);
}

// Of a plugin that is refused whatever happens to its bytes, so that none of these is ever opened.
TEST(PluginLoaderTest, ADamagedPluginIsRefused) {
  const TemporaryFolder folder;
  const std::string bytes = *ReadFile(kOtherVersion);
  for (size_t i = 0; i < bytes.size(); i += i < 64 ? 1 : 1 + bytes.size() / 300) {
    for (const char change : {'\x01', '\xff'}) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ change);
      EXPECT_FALSE(LoadPlugin(folder.Write("damaged.so", damaged)).ok()) << i;
    }
  }
}

TEST(PluginLoaderTest, AnUndefinedSymbolIsASentence) {
  const auto before = Keys();
  const Status status = LoadPlugin("tests/plugins/undefined_symbol.so");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), AllOf(HasSubstr("undefined_symbol.so"), HasSubstr("ThereIsNoSuchFunction")));
  EXPECT_EQ(getenv("TRIREME_TEST_UNDEFINED_SYMBOL_RAN"), nullptr);
  EXPECT_EQ(Keys(), before);
}

TEST(PluginLoaderDeathTest, AnInitialiserThatThrowsIsASentence) {
  EXPECT_EXIT(LoadPlugin("tests/plugins/throws.so").IgnoreError(), ::testing::ExitedWithCode(1),
              "throws.so: an initialiser of the plugin threw an exception: there is no such table");
}

TEST(PluginLoaderTest, ItsComponentsAreThereOnceItIsLoaded) {
  const Status status = LoadPlugin(kExample);
  ASSERT_TRUE(status.ok()) << status;
  const ComponentRegistry::Entry* entry = ComponentRegistry::Global().FindOrNull("backbone/example");
  ASSERT_NE(entry, nullptr);
  EXPECT_THAT(entry->plugin, HasSubstr("example_backbone.so"));

  Config config;
  ASSERT_TRUE(ParseText(kText, "test", &config).ok());
  EXPECT_THAT(PrintText(config), HasSubstr("[backbone/example]"));
  ASSERT_TRUE(ApplyOverride("model.channels[1]=7", &config).ok());
  const auto device = *MakeDevice("cpu", 1);
  const auto backbone = CreateComponent<Backbone>(config.model(), "model", {});
  ASSERT_TRUE(backbone.ok()) << backbone.status();
  EXPECT_EQ((*backbone)->specs()[1].channels, 7);

  // One registry, one set of types: what the plugin made runs on the program's own device and tape.
  const auto arena = *ParameterArena::Build(backbone->get(), *device, 1, 1);
  Context context(*device);
  const auto maps = (*backbone)->Forward(context, Var(Tensor::Zeros(*device, {1, 64, 64, 3})));
  EXPECT_EQ(maps[1].shape(), (Shape{1, 4, 4, 7}));

  EXPECT_THAT(Message(ParseText("model { [backbone/exampel] {} }", "test", &config)),
              AllOf(HasSubstr("did you mean backbone/example?"), HasSubstr("plugins loaded: "),
                    HasSubstr("example_backbone.so")));
}

TEST(PluginLoaderTest, LoadedTwiceIsLoaded) {
  const auto before = Keys();
  EXPECT_TRUE(LoadPlugin(kExample).ok());
  EXPECT_TRUE(LoadPlugin(std::string("./tests/../") + kExample).ok());
  EXPECT_EQ(Keys(), before);
}

TEST(PluginLoaderTest, ATakenKeyLeavesTheRegistryAsItWas) {
  ASSERT_TRUE(LoadPlugin(kExample).ok());
  const auto before = Keys();
  for (int attempt = 0; attempt < 2; ++attempt) {
    const Status status = LoadPlugin("tests/plugins/taken_key.so");
    EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << attempt;
    EXPECT_THAT(Message(status), AllOf(HasSubstr("taken_key.so"), HasSubstr("backbone/example"),
                                       HasSubstr("taken_key.cc:"), HasSubstr("example_backbone.cc:")));
    EXPECT_EQ(Keys(), before);
  }
  EXPECT_THAT(Message(ComponentRegistry::Global().Find("backbone/before").status()), Not(HasSubstr("taken_key.so")));
}

}  // namespace
}  // namespace trireme
