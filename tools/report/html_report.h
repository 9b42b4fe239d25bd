// report.html: a training run on one self-contained page (no script, no network): what was reached, curves, pictures,
// faults in the data, memory, and the config.
#ifndef TRIREME_TOOLS_REPORT_HTML_REPORT_H_
#define TRIREME_TOOLS_REPORT_HTML_REPORT_H_

#include <string>

#include "core/base/fault_log.h"
#include "core/base/status.h"

namespace trireme {

// Reads metrics.jsonl, config.pbtxt and pictures/*.jpg of the run, and writes `path`.
Status WriteHtmlReport(const std::string& run_folder, const std::string& title, const FaultLog& faults,
                       const std::string& path);

}  // namespace trireme

#endif  // TRIREME_TOOLS_REPORT_HTML_REPORT_H_
