// What an AsyncDevice records between BeginCapture and EndCapture.
#ifndef TRIREME_TESTS_CORE_TESTING_ASYNC_CAPTURE_H_
#define TRIREME_TESTS_CORE_TESTING_ASYNC_CAPTURE_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/base/status.h"
#include "tests/core/testing/async_scheduler.h"

namespace trireme::testing {

// Of the three the one that is set.
struct CapturedStep {
  int line = 0;  // 0 is the compute stream's
  std::shared_ptr<const std::function<void()>> run;
  int record = -1;  // points are numbered
  int wait = -1;
};

// The work of several lines, ordered by points only. Used under the device's lock.
class AsyncCapture {
 public:
  AsyncCapture(int id, const Lane* compute) : id_(id), thread_(std::this_thread::get_id()) { Join(compute); }

  int id() const { return id_; }
  // Of the thread that captures.
  bool is_by_this_thread() const { return thread_ == std::this_thread::get_id(); }
  bool Holds(const Lane* lane) const { return lines_.count(lane) > 0; }
  void Join(const Lane* lane);

  // For lanes that it holds.
  void Run(const Lane* lane, std::function<void()> work);
  int Record(const Lane* lane);
  void Wait(const Lane* lane, int point);

  // A capture that has broken a rule cannot end well. Returns `fault`.
  Status Spoil(const Status& fault);
  // OK if no rule was broken and the compute stream waits for all that was done.
  Status Check() const;

  const std::vector<CapturedStep>& steps() const { return steps_; }
  int num_points() const { return static_cast<int>(points_.size()); }
  // By line.
  const std::vector<std::string>& names() const { return names_; }

 private:
  using Pieces = std::set<int>;  // of work, by number

  const int id_;
  const std::thread::id thread_;
  std::map<const Lane*, int> lines_;
  std::vector<std::string> names_;
  std::vector<Pieces> done_;    // by line: the work that is done when it gets here
  std::vector<Pieces> points_;  // by point: the same
  std::vector<CapturedStep> steps_;
  std::vector<int> line_of_work_;  // by piece
  Status fault_;
};

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_TESTING_ASYNC_CAPTURE_H_
