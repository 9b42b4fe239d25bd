// Which of a library's engines computes what, remembered in memory and in a file, so that the next process need not ask
// and try again. The file is JSON; one that is damaged, or of another format, is ignored with a warning and replaced.
// Several processes may share it: it is read again before it is replaced, and replaced as a whole.
//
// A choice made once stays: a run that is resumed computes with the same engines. Thread-safe.
#ifndef TRIREME_CORE_OPS_ENGINE_CACHE_H_
#define TRIREME_CORE_OPS_ENGINE_CACHE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/base/status.h"

namespace trireme::ops {

struct EngineChoice {
  int64_t engine = 0;                // the library's number
  std::map<int64_t, int64_t> knobs;  // its settings
  bool fused = true;                 // bias and relu are part of it

  bool operator==(const EngineChoice& other) const {
    return engine == other.engine && knobs == other.knobs && fused == other.fused;
  }
};

using EngineChoices = std::map<std::string, EngineChoice>;

std::string EngineChoicesToJson(const EngineChoices& choices);
// InvalidArgument, saying what is wrong, for anything that EngineChoicesToJson does not write.
StatusOr<EngineChoices> EngineChoicesFromJson(const std::string& json);

class EngineCache {
 public:
  // An empty path: memory only. One process has one cache of a file: see OfFile.
  explicit EngineCache(std::string path);
  // Saves.
  ~EngineCache();

  // This process's cache of the file, which all its devices share and which lives as long as one of them holds it.
  static std::shared_ptr<EngineCache> OfFile(const std::string& path);

  std::optional<EngineChoice> Find(const std::string& key) const;
  // Inserts the choice, unless somebody was first: in this process, or in another one that has the file, for which it
  // waits up to 5 s. An earlier choice that was found `refused`, because it no longer serves, is nobody's: the first to
  // agree instead of it decides. Returns what all compute with. Saved at once, so that a run that is killed and goes on
  // finds it.
  EngineChoice Agree(const std::string& key, const EngineChoice& choice,
                     const std::optional<EngineChoice>& refused = std::nullopt);
  // For a choice that every process would make: replaces an earlier one. Saved now and then, for a model has a hundred
  // of them, and at the end.
  void Insert(const std::string& key, const EngineChoice& choice);

 private:
  EngineChoices ReadFile();
  // The caller holds the lock among processes.
  void Save();
  void LockAndSave();

  const std::string path_;
  mutable std::mutex mutex_;
  bool warned_ = false;
  EngineChoices choices_, unsaved_;
};

// trireme/NAME in $XDG_CACHE_HOME, or in ~/.cache; empty if the environment names neither.
std::string UserCachePath(const std::string& name);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_ENGINE_CACHE_H_
