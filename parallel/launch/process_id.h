// Whether a process that has left something behind still lives.
#ifndef TRIREME_PARALLEL_LAUNCH_PROCESS_ID_H_
#define TRIREME_PARALLEL_LAUNCH_PROCESS_ID_H_

#include <sys/types.h>

#include <string>

namespace trireme {

// Differs between a process and the next one that gets its number. "0" if there is no such process, or if the system
// does not tell.
std::string ProcessStartTime(pid_t process);

// A process of this machine, in a line that tells it from all others on any machine.
std::string DescribeProcess(pid_t process);
std::string DescribeThisProcess();

// True if `description`, as above, is of a process that would be seen here if it lived, and does not: one of another
// machine, or of a container with numbers of its own, may live, and so may one of which the system tells nothing. One
// whose parent has not asked for its end yet has ended.
bool HasSurelyEnded(const std::string& description);
// True if it would be seen here, and does live.
bool SurelyLives(const std::string& description);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_PROCESS_ID_H_
