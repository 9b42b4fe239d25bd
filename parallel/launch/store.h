// What the processes of a job tell each other before they have a communicator, and after it has failed: small strings
// under keys, each written by one process and read by the others.
//
// Keys are letters, digits, '.', '_' and '-'. A value is there whole or not at all. All calls are safe from any thread
// and any process. Every wait has a deadline, and ends at once when the job has a fault.
#ifndef TRIREME_PARALLEL_LAUNCH_STORE_H_
#define TRIREME_PARALLEL_LAUNCH_STORE_H_

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "core/base/status.h"

namespace trireme {

// The first thing that went wrong in a job, with what to say about it.
struct JobFault {
  int rank = 0;
  Status status;
};

class Store {
 public:
  virtual ~Store() = default;

  // Replaces the value.
  virtual Status Set(const std::string& key, const std::string& value) = 0;
  // Of several that set the same key one wins; returns the value that stands.
  virtual StatusOr<std::string> SetIfAbsent(const std::string& key, const std::string& value) = 0;
  virtual StatusOr<std::optional<std::string>> Find(const std::string& key) const = 0;

  // The value, once it is there. The job's fault if that comes first; DeadlineExceeded after `seconds`, saying
  // "waited 60 s for WHAT". `look`, once a second, may see that it will not come any more: then what it says.
  StatusOr<std::string> Wait(const std::string& key, const std::string& what, double seconds,
                             const std::function<Status()>& look = nullptr) const;

  // Only the first fault counts; returns it. `status` is not OK. The rank that had it may report it again with more
  // words around its own: the step, the bucket.
  JobFault ReportFault(int rank, const Status& status);
  // Nothing, if there is none or the store cannot be read.
  std::optional<JobFault> fault() const;

  // Of a process that was killed others have to tell what it was doing. `status` is how the job's fault met `rank`, in
  // more words than the fault's own: the step, the bucket. Only the first counts, and none that has no more to say.
  void ReportWitness(int rank, const Status& status);
  std::optional<JobFault> witness() const;

 private:
  std::optional<JobFault> FindFault(const char* key) const;
};

// A fault as others are told it: "rank 2: the file is torn".
Status DescribeFault(const JobFault& fault);

// Keys of what a rank leaves behind: which process it is (process_id.h), that its worker has returned, and why, if it
// was asked to stop.
inline constexpr char kProcessKeys[] = "process.";
std::string ProcessKey(int rank);
std::string EndedKey(int rank);
std::string StoppedKey(int rank);

// Of a job whose workers are all in this process.
class MemoryStore : public Store {
 public:
  Status Set(const std::string& key, const std::string& value) override;
  StatusOr<std::string> SetIfAbsent(const std::string& key, const std::string& value) override;
  StatusOr<std::optional<std::string>> Find(const std::string& key) const override;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> values_;
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_STORE_H_
