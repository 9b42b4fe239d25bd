// What a person sees while a run goes on: a bar that redraws itself on a terminal, a plain line now and then elsewhere.
#ifndef TRIREME_TOOLS_REPORT_PROGRESS_H_
#define TRIREME_TOOLS_REPORT_PROGRESS_H_

#include <cstdio>
#include <string>

#include "core/train/trainer.h"

namespace trireme {

// Used by one thread; writes to `out`.
class ProgressDisplay {
 public:
  ProgressDisplay(FILE* out, int64_t first_step, int64_t total_steps, int64_t global_batch_size);

  void Step(const StepReport& report);
  // A line that stays, above the bar.
  void Line(const std::string& text);
  void Finish();

 private:
  std::string Describe(const StepReport& report) const;

  FILE* out_;
  bool terminal_;
  int64_t first_step_;
  int64_t total_steps_;
  int64_t global_batch_size_;
  double started_;
  double last_drawn_ = 0;
  bool bar_shown_ = false;
  // Means over roughly the last twenty steps.
  double seconds_per_step_ = 0;
  double data_wait_ = 0;
  double peer_wait_ = 0;
};

// "1:02:03", "2:05".
std::string FormatDuration(double seconds);

}  // namespace trireme

#endif  // TRIREME_TOOLS_REPORT_PROGRESS_H_
