// Times training steps of a network in Darknet on random images, as step does for Trireme: forward, backward and update
// of the cfg's batch, by Darknet's own train_network_datum. Prints one JSON object.
//
//   darknet_step CFG OBJECTS WARMUP STEPS
//
// OBJECTS are in each image, with sides of 0.06 to 0.5 of the image's, as ours have. Darknet's CPU code has one thread.
// compare_step.py compiles and runs it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "darknet.h"

static float Uniform(float least, float most) { return least + (most - least) * ((float)rand() / (float)RAND_MAX); }

static double Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + 1e-9 * now.tv_nsec;
}

static int Compare(const void* a, const void* b) {
  const double difference = *(const double*)a - *(const double*)b;
  return (difference > 0) - (difference < 0);
}

static double Median(const double* values, int count) {
  double* sorted = malloc(count * sizeof(double));
  memcpy(sorted, values, count * sizeof(double));
  qsort(sorted, count, sizeof(double), Compare);
  const double median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
  free(sorted);
  return median;
}

static void FillBatch(network* net, int objects) {
  const int classes = net->layers[net->n - 1].classes;
  srand(1);
  for (int i = 0; i < net->batch * net->inputs; ++i) net->input[i] = Uniform(0, 1);
  memset(net->truth, 0, (size_t)net->batch * net->truths * sizeof(float));
  for (int n = 0; n < net->batch; ++n) {
    for (int i = 0; i < objects; ++i) {
      float* row = net->truth + (size_t)n * net->truths + 5 * i;
      row[2] = Uniform(0.06f, 0.5f);
      row[3] = Uniform(0.06f, 0.5f);
      row[0] = row[2] / 2 + Uniform(0, 1 - row[2]);
      row[1] = row[3] / 2 + Uniform(0, 1 - row[3]);
      row[4] = (float)(rand() % classes);
    }
  }
}

static long TrainedValues(const network* net) {
  long count = 0;
  for (int i = 0; i < net->n; ++i) {
    const layer l = net->layers[i];
    if (l.type == CONVOLUTIONAL) count += l.nweights + (l.batch_normalize ? 2 : 1) * (long)l.n;
  }
  return count;
}

int main(int argc, char** argv) {
  const int objects = argc == 5 ? atoi(argv[2]) : -1;
  const int warmup = argc == 5 ? atoi(argv[3]) : 0, steps = argc == 5 ? atoi(argv[4]) : 0;
  if (objects < 0 || warmup < 0 || steps < 1) {
    fprintf(stderr, "darknet_step CFG OBJECTS WARMUP STEPS\n");
    return 2;
  }
  network* net = load_network(argv[1], NULL, 0);
  if (net->layers[net->n - 1].type != YOLO || 5 * objects > net->truths) {
    fprintf(stderr, "%s: its last layer is not [yolo], or takes fewer than %d objects\n", argv[1], objects);
    return 2;
  }
  FillBatch(net, objects);
  double* seconds = malloc(steps * sizeof(double));
  double* processor = malloc(steps * sizeof(double));
  float loss = 0;
  for (int step = 0; step < warmup + steps; ++step) {
    const double begin = Now();
    const clock_t processor_begin = clock();
    loss = train_network_datum(net);
    if (step < warmup) continue;
    seconds[step - warmup] = Now() - begin;
    processor[step - warmup] = (double)(clock() - processor_begin) / CLOCKS_PER_SEC;
  }
  // Darknet prints to the same stream what its layers see.
  printf("\n{\"framework\": \"darknet\", \"threads\": 1, \"batch\": %d, \"trained_values\": %ld, \"seconds\": [",
         net->batch, TrainedValues(net));
  for (int i = 0; i < steps; ++i) printf("%s%.6f", i > 0 ? ", " : "", seconds[i]);
  printf("], \"median\": %.6f, \"processor\": %.6f, \"loss\": %.6f}\n", Median(seconds, steps),
         Median(processor, steps), loss);
  return 0;
}
