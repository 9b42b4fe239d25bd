// One registry of every component that a config can name: "model/ssd", "strategy/single",
// "dataset/voc". A component brings its own configuration message; no central file lists it.
//
//   absl::StatusOr<std::unique_ptr<Dataset>> MakeVoc(const VocConfig& config, const Dataset::BuildArgs& args);
//   TRIREME_REGISTER_COMPONENT("dataset/voc", Dataset, VocConfig, MakeVoc);
//
// A contract (Dataset, Detector, Strategy ...) has a nested struct BuildArgs: what every
// implementation is given besides its own message. The part of the key before '/' is the kind.
//
// Registration happens in static initialisers, of the program or of a plugin while it is loaded; the
// library that registers must be linked `alwayslink`. Look-ups are safe from any thread.
#ifndef TRIREME_CORE_BASE_REGISTRY_H_
#define TRIREME_CORE_BASE_REGISTRY_H_

#include <google/protobuf/any.pb.h>
#include <google/protobuf/message.h>

#include <any>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/catch_exceptions.h"
#include "core/base/status.h"

namespace trireme {

template <class Contract>
using ComponentFactory = std::function<StatusOr<std::unique_ptr<Contract>>(const google::protobuf::Message& config,
                                                                           const typename Contract::BuildArgs& args)>;

class ComponentRegistry {
 public:
  struct Entry {
    std::string key;
    const google::protobuf::Message* prototype;  // of the component's own configuration
    std::any factory;                            // a ComponentFactory<Contract>
    std::string source;                          // file:line of the registration
    std::string plugin;                          // path of the shared object it came from; empty for built-ins
  };

  static ComponentRegistry& Global();

  // A key that is taken already, or is no kind/name, is a programmer's error, unless a plugin is being
  // loaded: then the load fails with a sentence (see plugin_loader.h).
  void Add(Entry entry);

  // NotFound names the nearest key, all keys of the kind, and the loaded plugins.
  StatusOr<const Entry*> Find(absl::string_view key) const;
  const Entry* FindOrNull(absl::string_view key) const;
  // Sorted; of one kind ("model"), or all for "".
  std::vector<std::string> Keys(absl::string_view kind = "") const;

  // Between these two calls entries are ascribed to the plugin. `opened` tells End whether the plugin could
  // be opened at all. If not, or if it registered a key that is taken (AlreadyExists) or is no kind/name
  // (InvalidArgument), End drops all that the plugin added and returns the first fault.
  void BeginPlugin(const std::string& path);
  Status EndPlugin(const Status& opened);

  // "dataset/voc, registered at file:line of the plugin that it came from".
  static std::string Describe(const Entry& entry);

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;
  std::vector<std::string> plugins_;
  std::string loading_;
  Status loading_status_;
};

// Builds the component that `any` holds; `field` is its place in the config, for messages ("model").
// InvalidArgument if no component is set or it is of another kind; Internal if the factory throws, or returns neither a
// component nor a status.
template <class Contract>
StatusOr<std::unique_ptr<Contract>> CreateComponent(const google::protobuf::Any& any, absl::string_view field,
                                                    const typename Contract::BuildArgs& args) {
  if (any.type_url().empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the config sets no ", field, "; write for example `", field, " { [",
                                                   Contract::kKind, "/...] {} }`"));
  }
  TRIREME_ASSIGN_OR_RETURN(const ComponentRegistry::Entry* entry, ComponentRegistry::Global().Find(any.type_url()));
  const auto* factory = std::any_cast<ComponentFactory<Contract>>(&entry->factory);
  if (factory == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": ", entry->key, " is not a ", Contract::kKind,
                                                   "; see the keys that begin with ", Contract::kKind, "/"));
  }
  std::unique_ptr<google::protobuf::Message> config(entry->prototype->New());
  if (!config->ParseFromString(any.value())) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": the message of ", entry->key, " does not parse"));
  }
  auto made = CatchExceptions("its factory", [&] { return (*factory)(*config, args); });
  if (!made.ok()) return Annotate(made.status(), absl::StrCat(field, " [", entry->key, "]"));
  if (*made == nullptr) {
    return absl::InternalError(absl::StrCat(field, ": the factory of ", ComponentRegistry::Describe(*entry),
                                            ", returned null; it has to return a component or a status"));
  }
  return made;
}

namespace internal {

// "backbone/example" is of the kind "backbone".
constexpr bool IsOfKind(const char* key, const char* kind) {
  while (*kind != '\0' && *key == *kind) ++key, ++kind;
  return *kind == '\0' && *key == '/';
}

template <class Contract, class Config, class Function>
bool RegisterComponent(const char* key, Function function, const char* source) {
  ComponentFactory<Contract> factory =
      [function](const google::protobuf::Message& config,
                 const typename Contract::BuildArgs& args) -> StatusOr<std::unique_ptr<Contract>> {
    return function(static_cast<const Config&>(config), args);
  };
  ComponentRegistry::Global().Add({key, &Config::default_instance(), std::move(factory), source, ""});
  return true;
}

}  // namespace internal
}  // namespace trireme

#define TRIREME_REGISTRY_STRING_(x) #x
#define TRIREME_REGISTRY_STRING(x) TRIREME_REGISTRY_STRING_(x)
#define TRIREME_REGISTRY_NAME_(line) trireme_registered_##line
#define TRIREME_REGISTRY_NAME(line) TRIREME_REGISTRY_NAME_(line)

// At namespace scope, in a .cc file of an alwayslink library or of a plugin.
#define TRIREME_REGISTER_COMPONENT(key, Contract, Config, function)                                  \
  static_assert(::trireme::internal::IsOfKind(key, Contract::kKind),                                 \
                "the key has to begin with the kind of the contract that the component implements"); \
  [[maybe_unused]] static const bool TRIREME_REGISTRY_NAME(__LINE__) =                               \
      ::trireme::internal::RegisterComponent<Contract, Config>(key, function,                        \
                                                               __FILE__ ":" TRIREME_REGISTRY_STRING(__LINE__))

#endif  // TRIREME_CORE_BASE_REGISTRY_H_
