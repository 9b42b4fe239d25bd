// Every field of every message that a config can hold, with values at and beyond the ends of its type: a job that
// takes one trains a step; one that does not says why, in a sentence that names the field.
#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <iostream>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "core/api/detector.h"
#include "core/base/registry.h"
#include "core/config/config_file.h"
#include "tests/core/testing/temporary_folder.h"
#include "tools/job/check_numbers.h"
#include "tools/job/server_ranks.h"
#include "tools/job/worker.h"

namespace trireme {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

constexpr char kBackbone[] =
    "[backbone/resnet_small] { stem_channels: 4 stage { channels: 4 } stage { channels: 4 } stage { channels: 4 } }";

// What every job here is about, but for the component that is looked at.
const std::map<std::string, std::string>& Parts() {
  static const auto* const parts = new std::map<std::string, std::string>{
      {"model", absl::StrCat("[model/ssd] { image_size: 32 backbone { ", kBackbone, " } }")},
      {"train_data", "[dataset/shapes] { num_images: 4 width: 32 height: 32 }"},
      {"eval_data", "[dataset/shapes] { num_images: 1 width: 32 height: 32 }"},
      {"transforms", "[transform/flip] {}"},
      {"strategy", "[strategy/single] {}"},
      {"optimizer", "[optimizer/sgd] {}"},
      {"schedule", "[schedule/constant] {}"},
      {"communicator", "[communicator/threads] {}"},
  };
  return *parts;
}

struct Base {
  Config config;
  std::string path;  // of the component in it; empty: the config's own fields
};

// A job with `key`, "kind/name", in it.
Base BaseWith(const std::string& key, const Descriptor& message) {
  const std::string kind = key.substr(0, key.find('/'));
  const bool is_model = kind == "model";
  // What it has to be given, or is too large without.
  std::string inside = is_model ? "image_size: 32 " : "";
  if (is_model && key != "model/ssd") {
    // One head takes maps of one width.
    absl::StrAppend(&inside, "backbone { [backbone/fpn] { channels: 4 backbone { ", kBackbone, " } } }");
  } else if (message.FindFieldByName("backbone") != nullptr) {
    absl::StrAppend(&inside, "backbone { ", kBackbone, " }");
  } else if (key == "backbone/vgg16") {
    inside = "extra { narrow_channels: 4 channels: 4 }";
  } else if (key == "transform/resize") {
    inside = "width: 64 height: 64";
  }
  const std::string component = absl::StrCat("[", key, "] { ", inside, " }");
  std::map<std::string, std::string> parts = Parts();
  Base base;
  if (kind == "backbone") {
    parts["model"] = absl::StrCat("[model/ssd] { image_size: 96 backbone { ", component, " } }");
    base.path = "model.backbone";
  } else if (!kind.empty()) {
    const std::string field = kind == "dataset" ? "train_data" : kind == "transform" ? "transforms" : kind;
    parts.at(field) = component;
    base.path = kind == "transform" ? "transforms[0]" : field;
  }
  std::string text = "device: 'cpu' threads_per_worker: 1 global_batch_size: 2 steps: 1 memory_limit_mb: 1000 ";
  if (kind == "strategy" && key != "strategy/single") text += "workers: 2 ";
  for (const auto& [field, part] : parts) absl::StrAppend(&text, field, " { ", part, " }\n");
  const Status parsed = ParseText(text, key, &base.config);
  CHECK(parsed.ok()) << parsed;
  return base;
}

std::vector<std::string> ValuesOf(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return {"-2147483648", "-1", "0", "1", "3", "2147483647"};
    case FieldDescriptor::CPPTYPE_INT64:
      return {"-9223372036854775808", "-1", "0", "1", "2147483648", "9223372036854775807"};
    case FieldDescriptor::CPPTYPE_UINT64:
      return {"0", "18446744073709551615"};
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return {"nan", "inf", "-1", "0", "1e-40", "2"};
    case FieldDescriptor::CPPTYPE_BOOL:
      return {"true", "false"};
    case FieldDescriptor::CPPTYPE_STRING:
      return {"", "/nosuch/x", std::string(5000, 'x')};
    case FieldDescriptor::CPPTYPE_ENUM: {
      std::vector<std::string> names = {"7"};
      for (int i = 0; i < field.enum_type()->value_count(); ++i) names.push_back(field.enum_type()->value(i)->name());
      return names;
    }
    default:
      return {"{}"};
  }
}

using Assignments = std::vector<std::pair<std::string, std::string>>;  // path and value

void AddAssignments(const Descriptor& message, const std::string& path, Assignments* all) {
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    const std::string here = absl::StrCat(path, path.empty() ? "" : ".", field.name());
    const bool is_message = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    const bool is_any =
        is_message && field.message_type()->full_name() == google::protobuf::Any::descriptor()->full_name();
    // A component has a turn of its own; a run's folder and length are the test's.
    if (here == "out" || here == "steps" || (is_any && field.is_repeated())) continue;
    for (const std::string& value : ValuesOf(field)) {
      const bool quoted = field.cpp_type() == FieldDescriptor::CPPTYPE_STRING && field.is_repeated();
      all->emplace_back(here, !field.is_repeated() || is_message ? value
                              : quoted                           ? absl::StrCat("[\"", value, "\"]")
                                                                 : absl::StrCat("[", value, "]"));
    }
    if (field.is_repeated() && !is_message) all->emplace_back(here, "[]");
    if (is_message && !is_any && !field.is_repeated()) AddAssignments(*field.message_type(), here, all);
  }
}

class NoObserver : public JobObserver {
 public:
  void OnStart(const Setup&) override {}
  void OnEnd(const std::vector<MemoryStats>&) override {}
  void OnUnreached(const std::vector<std::string>& parameters) override {
    ADD_FAILURE() << "no gradient came to " << parameters.size() << " parameters, " << parameters[0] << " first";
  }
  void OnStep(const StepReport&) override {}
  void OnEvaluation(int64_t, const EvaluationReport&) override {}
  void OnCheckpoint(int64_t) override {}
};

// Parameters of networks that are made here, but not trained, which takes too long.
constexpr double kMostTrained = 3e6, kFarTooMany = 1e12;

Status RunJob(Config config, const std::string& folder) {
  TRIREME_RETURN_IF_ERROR(CheckNumbers(config));
  config.set_out(folder);
  TRIREME_ASSIGN_OR_RETURN(const auto launcher, MakeLauncher(config));
  TRIREME_ASSIGN_OR_RETURN(const auto job, PrepareJob("test", config, /*resume=*/false));
  if (config.communicator().type_url() != "communicator/threads") return absl::OkStatus();
  TRIREME_ASSIGN_OR_RETURN(const auto detector,
                           CreateComponent<Detector>(job->config.model(), "model", {job->train_data->class_names()}));
  std::vector<std::pair<std::string, Parameter*>> parameters;
  std::vector<std::pair<std::string, Buffer*>> buffers;
  detector->Collect("", &parameters, &buffers);
  double values = 0;
  for (const auto& [name, parameter] : parameters) {
    double count = 1;
    for (int d = 0; d < parameter->shape.rank(); ++d) count *= static_cast<double>(parameter->shape[d]);
    values += count;
  }
  if (values > kMostTrained && values < kFarTooMany) return absl::OkStatus();
  NoObserver observer;
  TRIREME_ASSIGN_OR_RETURN(const int servers, NumServerRanks(config));
  return launcher->Run(config.workers() + servers, [&](Communicator& communicator) {
    return RunWorker(*job, communicator, &observer, /*stop_requested=*/nullptr);
  });
}

class EveryField : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryField, IsRefusedByNameOrTrains) {
  const std::string key = GetParam();
  const Descriptor& message =
      key.empty() ? *Config::descriptor() : *ComponentRegistry::Global().Find(key).value()->prototype->GetDescriptor();
  const Base base = BaseWith(key, message);
  const testing::TemporaryFolder folder;
  const Status as_it_is = RunJob(base.config, folder / "base");
  EXPECT_TRUE(as_it_is.ok()) << as_it_is;
  Assignments assignments;
  AddAssignments(message, base.path, &assignments);
  int trained = 0;
  for (size_t i = 0; i < assignments.size(); ++i) {
    const auto& [path, value] = assignments[i];
    const std::string assignment = absl::StrCat(path, "=", value.substr(0, 50));
    SCOPED_TRACE(assignment);
    std::cout << assignment << std::endl;  // the last one is the one that ended the process
    Config config = base.config;
    Status status = ApplyOverride(absl::StrCat(path, "=", value), &config);
    if (status.ok()) status = RunJob(config, folder / std::to_string(i));
    trained += status.ok() ? 1 : 0;
    // Of what does not fit into memory the sentence names what takes it.
    if (status.ok() || absl::IsResourceExhausted(status)) continue;
    EXPECT_EQ(ExitCode(status), 2) << status;
    const std::string name = path.substr(path.rfind('.') + 1);
    EXPECT_TRUE(absl::StrContains(status.message(), name)) << status;
  }
  EXPECT_TRUE(trained > 0 || assignments.empty());
}

// Not those of a data set on disk, which are tested with its files, nor of one that takes a GPU; server_ranks/ are no
// components of their own.
std::vector<std::string> Keys() {
  std::vector<std::string> keys = {""};
  for (const std::string& key : ComponentRegistry::Global().Keys()) {
    const bool is_elsewhere = key == "dataset/voc" || key == "dataset/coco" || key == "communicator/nccl";
    if (!is_elsewhere && !absl::StartsWith(key, "server_ranks/")) keys.push_back(key);
  }
  return keys;
}

INSTANTIATE_TEST_SUITE_P(Of, EveryField, ::testing::ValuesIn(Keys()), [](const auto& info) {
  return info.param.empty() ? std::string("Config") : absl::StrReplaceAll(info.param, {{"/", "_"}});
});

}  // namespace
}  // namespace trireme
