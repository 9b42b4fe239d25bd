// Which worker of which job this process is, as its environment tells.
//
// These are understood, the first that is there counts:
//   * Our own (supervisor.h, or a script of the user's): TRIREME_RANK, TRIREME_WORLD_SIZE, TRIREME_LOCAL_RANK and, if
//     the job is on several hosts, TRIREME_LOCAL_WORLD_SIZE. TRIREME_LAUNCH and TRIREME_ATTEMPT if the job is started
//     again when it fails (see Launch).
//   * torchrun's: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT.
//   * Open MPI's: OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK, _LOCAL_SIZE.
//   * Slurm's, in what srun has started: SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID, SLURM_STEP_NODELIST. (A
//     batch script has SLURM_PROCID too, but is no step.)
// One process alone has nobody to meet: as if none had placed it.
//
// Where the processes meet is TRIREME_RENDEZVOUS, under each of them: tcp://HOST:PORT, where rank 0 listens and the
// others reach it (see tcp_store.h), or a folder that all of them see. Left out, it follows from the launcher:
//   * on one host, a folder in the temporary directory;
//   * on several, TCP on rank 0's host: under torchrun MASTER_ADDR and the first free port of the eight after
//     MASTER_PORT (that one is of torchrun's own store), under Slurm the first node of the step and one of eight ports
//     that follow from the job's number. mpirun does not tell where rank 0 is: there it has to be set.
// TRIREME_LISTEN_ON is the address of this host where its processes listen for others of the job; left out, over TCP
// the one that rank 0 is reached at or reached from, in a folder on one host the loopback. In a folder that several
// hosts share it has to be said, if anything is to listen. Nothing listens on any other address.
// TRIREME_JOB is the job's id, by which two jobs that meet by mistake know it; left out, the launcher's own.
#ifndef TRIREME_PARALLEL_LAUNCH_PROCESS_RANK_H_
#define TRIREME_PARALLEL_LAUNCH_PROCESS_RANK_H_

#include <functional>
#include <optional>
#include <string>

#include "core/base/status.h"

namespace trireme {

// A start of the job by its user, which a launcher may repeat when the job fails or has to make room.
struct Launch {
  // The same in all attempts, and another's is different. Empty where the launcher does not tell, or never repeats any.
  std::string name;
  int attempt = 0;  // how often the launcher has started the job before
};

struct ProcessRank {
  int rank = 0;
  int world_size = 1;
  int local_rank = 0;  // among the processes on this host
  int local_world_size = 1;
  std::string rendezvous;  // a folder, or tcp://host:port
  int num_ports = 1;       // that may be meant, from that of `rendezvous` on
  // An address or name of this host. Over TCP known when the job is joined (rendezvous.h); in a folder of several hosts
  // empty if nobody has said it.
  std::string listen_on;
  std::string job;  // the job's id; in a folder, the name of the job's own
  Launch launch;
  bool supervised = false;  // the parent watches over the job, and has made that folder

  bool over_tcp() const { return rendezvous.rfind("tcp://", 0) == 0; }
};

// null if the variable is not set, as getenv.
using Environment = std::function<const char*(const char* name)>;

// Nothing if the environment names no rank. InvalidArgument if it names half of one, or one that cannot be;
// FailedPrecondition if there is nowhere to meet.
StatusOr<std::optional<ProcessRank>> FindProcessRank(const Environment& environment);
// Of this process.
StatusOr<std::optional<ProcessRank>> FindProcessRank();

// As far as the launcher tells; also where one process is all of the job. torchrun's is named by its run id, or where
// that is left out ("none") by the process that has started this one; Slurm's by cluster and job; a supervisor hands
// its own on. Fails as FindProcessRank does.
StatusOr<Launch> FindLaunch(const Environment& environment);
StatusOr<Launch> FindLaunch();

// The first host of Slurm's short form of a list: "node[08-11,20],login" begins with node08.
StatusOr<std::string> FirstOfHostlist(const std::string& hostlist);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_PROCESS_RANK_H_
