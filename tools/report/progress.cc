#include "tools/report/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/clock.h"

namespace trireme {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr double kLineSeconds = 10;
constexpr double kMemory = 0.95;
constexpr int kBarCells = 24;

int TerminalColumns(FILE* out) {
  struct winsize size;
  if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

std::string FormatDuration(double seconds) {
  const int64_t whole = std::max<int64_t>(0, std::llround(seconds));
  if (whole >= 3600) return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
  return absl::StrFormat("%d:%02d", whole / 60, whole % 60);
}

ProgressDisplay::ProgressDisplay(FILE* out, int64_t first_step, int64_t total_steps, int64_t global_batch_size)
    : out_(out),
      terminal_(isatty(fileno(out)) != 0),
      first_step_(first_step),
      total_steps_(total_steps),
      global_batch_size_(global_batch_size),
      started_(Now()) {}

std::string ProgressDisplay::Describe(const StepReport& report) const {
  const int64_t done = report.step + 1;
  std::vector<std::string> losses;
  for (const auto& [name, value] : report.losses) losses.push_back(absl::StrFormat("%s %.3f", name, value));
  return absl::StrFormat("%d/%d  loss %.3f (%s)  %.1f images/s  data %.0f%%  peers %.0f%%  ETA %s", done, total_steps_,
                         report.loss, absl::StrJoin(losses, ", "),
                         static_cast<double>(global_batch_size_) / seconds_per_step_,
                         100 * data_wait_ / seconds_per_step_, 100 * peer_wait_ / seconds_per_step_,
                         FormatDuration(seconds_per_step_ * static_cast<double>(total_steps_ - done)));
}

void ProgressDisplay::Step(const StepReport& report) {
  // The first step prepares what later ones reuse, so it is no measure of them.
  const double keep = report.step - first_step_ <= 1 ? 0 : kMemory;
  seconds_per_step_ = keep * seconds_per_step_ + (1 - keep) * report.seconds;
  data_wait_ = keep * data_wait_ + (1 - keep) * report.data_wait_seconds;
  peer_wait_ = keep * peer_wait_ + (1 - keep) * report.peer_wait_seconds;
  const double now = Now();
  const bool last = report.step + 1 == total_steps_;
  if (now - last_drawn_ < (terminal_ ? kRedrawSeconds : kLineSeconds) && !last) return;
  last_drawn_ = now;
  const std::string text = Describe(report);
  if (!terminal_) {
    absl::FPrintF(out_, "step %s\n", text);
  } else {
    const int columns = TerminalColumns(out_);
    const int64_t filled = kBarCells * (report.step + 1) / std::max<int64_t>(1, total_steps_);
    std::string bar;
    for (int i = 0; i < kBarCells; ++i) bar += i < filled ? "━" : "╌";
    const int room = columns - kBarCells - 2;
    absl::FPrintF(out_, "\r\033[K%s %s", bar, room > 0 ? text.substr(0, static_cast<size_t>(room)) : "");
    bar_shown_ = true;
  }
  fflush(out_);
}

void ProgressDisplay::Line(const std::string& text) {
  absl::FPrintF(out_, "%s%s\n", bar_shown_ ? "\r\033[K" : "", text);
  bar_shown_ = false;
  last_drawn_ = 0;
  fflush(out_);
}

void ProgressDisplay::Finish() {
  if (bar_shown_) absl::FPrintF(out_, "\n");
  bar_shown_ = false;
  fflush(out_);
}

}  // namespace trireme
