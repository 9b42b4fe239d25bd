// Keeps the record of a training run: progress on the terminal, metrics.jsonl, and report.html at the end.
#ifndef TRIREME_TOOLS_REPORT_RUN_RECORDER_H_
#define TRIREME_TOOLS_REPORT_RUN_RECORDER_H_

#include <memory>
#include <string>

#include "tools/job/worker.h"
#include "tools/report/metrics_log.h"
#include "tools/report/progress.h"

namespace trireme {

// Told by rank 0's thread; Open and Finish by the thread that launches.
class RunRecorder : public JobObserver {
 public:
  // The job outlives the recorder.
  static StatusOr<std::unique_ptr<RunRecorder>> Open(const Job& job);

  void OnStart(const Setup& setup) override;
  void OnUnreached(const std::vector<std::string>& parameters) override;
  void OnStep(const StepReport& report) override;
  void OnEvaluation(int64_t steps_done, const EvaluationReport& report) override;
  void OnCheckpoint(int64_t steps_done) override;
  void OnEnd(const std::vector<MemoryStats>& memory) override;

  // Writes the last event and the report, and prints what was reached and where it is.
  Status Finish(const Status& trained);

 private:
  struct BestEvaluation {
    int64_t step = 0;  // 0: there is none
    double value = 0;
  };

  explicit RunRecorder(const Job& job) : job_(job) {}
  double EpochAfter(int64_t steps) const;
  // Of a run that goes on.
  void FindBest();
  // With the checkpoint that it is of.
  void KeepEvaluation(int64_t steps_done, const EvaluationReport& report);
  void KeepIfBest(int64_t steps_done, double value);
  // What is no reason to stop, but told.
  void Tell(const std::string& line);
  // An event that cannot be written is no reason to stop, but told.
  void Write(const nlohmann::ordered_json& event);

  const Job& job_;
  std::unique_ptr<MetricsLog> metrics_;
  std::unique_ptr<ProgressDisplay> progress_;
  double started_ = 0;
  int64_t steps_done_ = 0;
  int64_t last_checkpoint_ = 0;
  int64_t steps_skipped_ = 0;     // for whatever reason
  int64_t steps_not_finite_ = 0;  // of these
  EvaluationReport last_evaluation_;
  BestEvaluation best_;
  std::vector<MemoryStats> memory_;  // by rank
};

}  // namespace trireme

#endif  // TRIREME_TOOLS_REPORT_RUN_RECORDER_H_
