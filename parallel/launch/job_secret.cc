#include "parallel/launch/job_secret.h"

#include <sys/stat.h>

#include <cstdlib>

#include "absl/strings/ascii.h"
#include "core/base/files.h"

namespace trireme {
namespace {

constexpr char kVariable[] = "TRIREME_JOB_SECRET", kFileVariable[] = "TRIREME_JOB_SECRET_FILE";
constexpr size_t kFewestCharacters = 16;

StatusOr<std::string> ReadSecretFile(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) == 0 && (info.st_mode & S_IRWXO) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(kFileVariable, ": every user of this host may read ", path, "; say chmod o= ", path));
  }
  return Annotate(ReadFile(path), kFileVariable);
}

}  // namespace

StatusOr<std::string> FindJobSecret(const Environment& environment) {
  const char* const text = environment(kVariable);
  const char* const path = environment(kFileVariable);
  std::string secret = text == nullptr ? "" : text;
  if (secret.empty() && path != nullptr && *path != '\0') {
    TRIREME_ASSIGN_OR_RETURN(secret, ReadSecretFile(path));
  }
  secret = std::string(absl::StripAsciiWhitespace(secret));
  if (secret.empty() || secret.size() >= kFewestCharacters) return secret;
  return absl::InvalidArgumentError(absl::StrCat("the job's secret has ", secret.size(), " characters, and needs ",
                                                 kFewestCharacters, " or more; make one by openssl rand -hex 32"));
}

StatusOr<std::string> NeedJobSecret(const Environment& environment) {
  TRIREME_ASSIGN_OR_RETURN(std::string secret, FindJobSecret(environment));
  if (!secret.empty()) return secret;
  return absl::FailedPreconditionError(
      absl::StrCat("a job whose processes meet over TCP needs a secret that only they know: on every host, set ",
                   kVariable, " to the same 16 characters or more (openssl rand -hex 32 makes good ones), or ",
                   kFileVariable, " to a file that holds them"));
}

StatusOr<std::string> NeedJobSecret() {
  return NeedJobSecret([](const char* name) { return std::getenv(name); });
}

}  // namespace trireme
