#include "core/base/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>

#include "tests/core/testing/things.h"
#include "tests/core/testing/things.pb.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::LeafConfig;
using testing::NestConfig;
using testing::OtherThing;
using testing::Thing;

std::string Message(const Status& status) { return std::string(status.message()); }

google::protobuf::Any Pack(const std::string& key, const google::protobuf::Message& config) {
  google::protobuf::Any any;
  any.set_type_url(key);
  any.set_value(config.SerializeAsString());
  return any;
}

ComponentRegistry::Entry EntryFor(const std::string& key) {
  return {key, &LeafConfig::default_instance(), std::any(), "here.cc:1", ""};
}

TEST(RegistryTest, KnowsItsComponentsByKind) {
  EXPECT_THAT(ComponentRegistry::Global().Keys("thing"), ElementsAre("thing/leaf", "thing/nest"));
  EXPECT_THAT(ComponentRegistry::Global().Keys("thin"), IsEmpty());
  const auto entry = ComponentRegistry::Global().Find("thing/leaf");
  ASSERT_TRUE(entry.ok());
  EXPECT_EQ((*entry)->prototype, &LeafConfig::default_instance());
  EXPECT_THAT((*entry)->source, HasSubstr("things.cc:"));
  EXPECT_EQ((*entry)->plugin, "");
}

// Any one letter left out, changed or doubled leads back to the key.
TEST(RegistryTest, NamesTheNearestKey) {
  for (const std::string key : {"thing/leaf", "thing/nest"}) {
    for (size_t i = 0; i < key.size(); ++i) {
      std::string missing = key, changed = key, doubled = key;
      missing.erase(i, 1);
      changed[i] = 'q';
      doubled.insert(i, 1, key[i]);
      for (const std::string& wrong : {missing, changed, doubled}) {
        const Status status = ComponentRegistry::Global().Find(wrong).status();
        EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
        EXPECT_THAT(Message(status), AllOf(HasSubstr(wrong), HasSubstr("did you mean " + key + "?"),
                                           HasSubstr("thing/leaf, thing/nest"), HasSubstr("plugins loaded: none")));
      }
    }
  }
}

TEST(RegistryTest, AnEmptyRegistrySaysSo) {
  ComponentRegistry registry;
  const Status status = registry.Find("model/ssd").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(status), Not(HasSubstr("did you mean")));
}

TEST(RegistryTest, CreatesNestedComponents) {
  LeafConfig leaf;
  leaf.set_size(4);
  NestConfig nest;
  *nest.mutable_inner() = Pack("thing/leaf", leaf);
  const auto made = CreateComponent<Thing>(Pack("thing/nest", nest), "model", {3});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ((*made)->Describe(), "nest of leaf of 7");
}

TEST(RegistryTest, FaultsNameTheirPlaceInTheConfig) {
  LeafConfig leaf;
  leaf.set_size(-1);
  NestConfig nest;
  *nest.mutable_inner() = Pack("thing/leaf", leaf);
  const Status negative = CreateComponent<Thing>(Pack("thing/nest", nest), "model", {}).status();
  EXPECT_EQ(Message(negative), "model [thing/nest]: inner [thing/leaf]: size is negative");

  const Status empty = CreateComponent<Thing>({}, "model", {}).status();
  EXPECT_EQ(empty.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(empty), AllOf(HasSubstr("sets no model"), HasSubstr("[thing/...]")));

  const Status other = CreateComponent<OtherThing>(Pack("thing/leaf", leaf), "strategy", {}).status();
  EXPECT_EQ(other.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(other), AllOf(HasSubstr("strategy"), HasSubstr("thing/leaf is not a other_thing")));

  google::protobuf::Any damaged = Pack("thing/leaf", leaf);
  damaged.set_value("\xff\xff\xff");
  EXPECT_EQ(CreateComponent<Thing>(damaged, "model", {}).status().code(), absl::StatusCode::kInvalidArgument);
}

// A contract whose one implementation has a factory that does what a size says.
class Rude {
 public:
  static constexpr const char kKind[] = "rude";
  struct BuildArgs {};
};

StatusOr<std::unique_ptr<Rude>> MakeRude(const LeafConfig& config, const Rude::BuildArgs&) {
  if (config.size() == 1) throw std::runtime_error("bad luck");
  if (config.size() == 2) throw 7;
  if (config.size() == 3) throw std::bad_alloc();
  return nullptr;
}

TRIREME_REGISTER_COMPONENT("rude/thing", Rude, LeafConfig, MakeRude);

TEST(RegistryTest, WhatAFactoryMayNotDoIsASentence) {
  const auto fault = [](int size) {
    LeafConfig leaf;
    leaf.set_size(size);
    return CreateComponent<Rude>(Pack("rude/thing", leaf), "model", {}).status();
  };
  EXPECT_EQ(fault(0).code(), absl::StatusCode::kInternal);
  EXPECT_THAT(Message(fault(0)), AllOf(HasSubstr("model: the factory of rude/thing, registered at "),
                                       HasSubstr("registry_test.cc:"), HasSubstr("returned null")));
  EXPECT_EQ(fault(1).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(Message(fault(1)), "model [rude/thing]: its factory threw an exception: bad luck");
  EXPECT_EQ(Message(fault(2)), "model [rude/thing]: its factory threw what is no std::exception");
  EXPECT_EQ(fault(3).code(), absl::StatusCode::kResourceExhausted);
}

// What TRIREME_REGISTER_COMPONENT asserts.
static_assert(internal::IsOfKind("thing/leaf", "thing"));
static_assert(!internal::IsOfKind("things/leaf", "thing"));
static_assert(!internal::IsOfKind("thing/leaf", "things"));
static_assert(!internal::IsOfKind("thing", "thing"));
static_assert(!internal::IsOfKind("", "thing"));

TEST(RegistryTest, APluginThatTakesATakenKeyLeavesNothingBehind) {
  ComponentRegistry registry;
  registry.Add(EntryFor("thing/a"));
  registry.BeginPlugin("p.so");
  registry.Add(EntryFor("thing/b"));
  registry.Add(EntryFor("thing/a"));
  registry.Add(EntryFor("thing/c"));
  const Status status = registry.EndPlugin(absl::OkStatus());
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(Message(status), AllOf(HasSubstr("p.so"), HasSubstr("thing/a"), HasSubstr("here.cc:1")));
  EXPECT_THAT(registry.Keys(), ElementsAre("thing/a"));
  EXPECT_THAT(Message(registry.Find("thing/b").status()), HasSubstr("plugins loaded: none"));
}

TEST(RegistryTest, APluginIsNamedAndKept) {
  ComponentRegistry registry;
  registry.BeginPlugin("p.so");
  registry.Add(EntryFor("thing/b"));
  ASSERT_TRUE(registry.EndPlugin(absl::OkStatus()).ok());
  EXPECT_EQ(registry.FindOrNull("thing/b")->plugin, "p.so");
  EXPECT_THAT(Message(registry.Find("thing/x").status()), HasSubstr("plugins loaded: p.so"));
  // The next one meets the first one's keys.
  registry.BeginPlugin("q.so");
  registry.Add(EntryFor("thing/b"));
  EXPECT_THAT(Message(registry.EndPlugin(absl::OkStatus())), AllOf(HasSubstr("q.so"), HasSubstr("of p.so")));
  EXPECT_THAT(registry.Keys(), ElementsAre("thing/b"));
}

TEST(RegistryTest, APluginThatDoesNotOpenLeavesNothingBehind) {
  ComponentRegistry registry;
  registry.BeginPlugin("p.so");
  registry.Add(EntryFor("thing/b"));
  EXPECT_EQ(registry.EndPlugin(absl::DataLossError("no")).code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(registry.Keys(), IsEmpty());
}

TEST(RegistryTest, RefusesKeysThatTheConfigCouldNotName) {
  for (const char* key : {"", "leaf", "/leaf", "thing/", "a/b/c", "thing/my leaf", "thing/7", "thing/a-b"}) {
    ComponentRegistry registry;
    registry.BeginPlugin("p.so");
    registry.Add(EntryFor(key));
    EXPECT_EQ(registry.EndPlugin(absl::OkStatus()).code(), absl::StatusCode::kInvalidArgument) << key;
  }
}

TEST(RegistryDeathTest, TwoBuiltInsOfOneKeyAreAProgrammersError) {
  ComponentRegistry registry;
  registry.Add(EntryFor("thing/a"));
  EXPECT_DEATH(registry.Add(EntryFor("thing/a")), "thing/a .*is registered already");
}

}  // namespace
}  // namespace trireme
