// Runs Darknet's own code over a batch: forward and backward in training, or forward and its suppression.
//
//   darknet_pass train|detect|bias CFG WEIGHTS IN OUT
//
// IN holds float32: images [N, 3, H, W] for the cfg's batch N, and of each image the objects as Darknet has them, x, y,
// width and height in parts of the image and the class, as many as its last layer takes. OUT gets records of a line
// "NAME COUNT" and COUNT float32. In training: of each [yolo] layer what goes in and what comes back ("output/K",
// "delta/K", by channel), and of each convolution what is added to its values ("bias/K", "weight/K"), where K is the
// number of the layer; what comes back and what is added are minus the gradients of the batch's sum. For "bias", of
// each convolution with a relu, biases that keep what goes into it five deviations away from zero, one channel in four
// below, else above: there rounding cannot switch a unit. In detection: the outputs, of the last image at last, and of
// each image rows of x1, y1, x2, y2, score and class ("detections/K").
//
//   gcc -O2 -I/usr/lib/darknet/include darknet_pass.c -o darknet_pass -L/usr/lib/darknet -ldarknet -lm
//   -Wl,-rpath,/usr/lib/darknet
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "darknet.h"

detection* get_network_boxes(network* net, int w, int h, float thresh, float hier, int* map, int relative, int* num);

static FILE* out;

static void Write(const char* kind, int number, const float* values, size_t count) {
  fprintf(out, "%s/%d %zu\n", kind, number, count);
  fwrite(values, sizeof(float), count, out);
}

static float* Read(const char* path, size_t* count) {
  FILE* in = fopen(path, "rb");
  if (!in) return NULL;
  fseek(in, 0, SEEK_END);
  const long size = ftell(in);
  rewind(in);
  float* values = malloc(size);
  if (fread(values, 1, size, in) != (size_t)size) return NULL;
  fclose(in);
  *count = size / sizeof(float);
  return values;
}

static void WriteOutputs(const network* net) {
  for (int i = 0; i < net->n; ++i) {
    const layer before = i > 0 ? net->layers[i - 1] : net->layers[0];
    if (net->layers[i].type == YOLO) Write("output", i, before.output, (size_t)before.outputs * before.batch);
  }
}

// backward_network, but for one line of Darknet's: behind a 1x1 convolution its CPU code overwrites the gradient that
// others, ways around residual blocks, have left for the layer before, where it adds behind all other layers, and its
// GPU code adds there too.
static void Backward(network* net) {
  for (int i = net->n - 1; i >= 0; --i) {
    layer l = net->layers[i];
    network state = *net;
    float* left = NULL;
    size_t count = 0;
    state.index = i;
    if (i > 0) {
      const layer before = net->layers[i - 1];
      state.input = before.output;
      state.delta = before.delta;
      count = (size_t)before.outputs * before.batch;
    }
    if (state.delta && l.type == CONVOLUTIONAL && l.size == 1) {
      left = malloc(count * sizeof(float));
      memcpy(left, state.delta, count * sizeof(float));
    }
    l.backward(l, state);
    for (size_t k = 0; left && k < count; ++k) state.delta[k] += left[k];
    free(left);
  }
}

static void Train(network* net, const float* values) {
  const size_t pixels = (size_t)net->batch * net->inputs;
  net->train = 1;
  memcpy(net->input, values, pixels * sizeof(float));
  memcpy(net->truth, values + pixels, (size_t)net->batch * net->truths * sizeof(float));
  forward_network(net);
  WriteOutputs(net);
  Backward(net);
  for (int i = 0; i < net->n; ++i) {
    const layer l = net->layers[i];
    if (l.type == YOLO) Write("delta", i, l.delta, (size_t)l.outputs * l.batch);
    if (l.type == CONVOLUTIONAL) {
      Write("bias", i, l.bias_updates, l.n);
      Write("weight", i, l.weight_updates, l.nweights);
    }
  }
}

// The K-th channel's share of a layer's output.
static void MeasureChannel(const layer* l, int channel, float* mean, float* deviation) {
  const int places = l->out_h * l->out_w;
  double sum = 0, squares = 0;
  for (int b = 0; b < l->batch; ++b) {
    const float* values = l->output + ((size_t)b * l->out_c + channel) * places;
    for (int i = 0; i < places; ++i) {
      sum += values[i];
      squares += (double)values[i] * values[i];
    }
  }
  const double count = (double)l->batch * places;
  *mean = sum / count;
  *deviation = sqrt(fmax(squares / count - *mean * *mean, 0));
}

static void KeepFromZero(network* net, const float* values) {
  network state = *net;
  memcpy(net->input, values, (size_t)net->batch * net->inputs * sizeof(float));
  state.train = 0;
  for (int i = 0; i < net->n; ++i) {
    layer l = net->layers[i];
    state.index = i;
    if (l.type == CONVOLUTIONAL && l.activation == LEAKY) {
      l.activation = LINEAR;
      l.forward(l, state);
      for (int k = 0; k < l.n; ++k) {
        float mean, deviation;
        MeasureChannel(&l, k, &mean, &deviation);
        l.biases[k] += (k % 4 == 3 ? -5 : 5) * (deviation + 1e-3f) - mean;
      }
      Write("bias", i, l.biases, l.n);
      l.activation = LEAKY;
    }
    l.forward(l, state);
    state.input = l.output;
  }
}

static void Detect(network* net, const float* values, float threshold, float nms_threshold) {
  const int images = net->batch;
  set_batch_network(net, 1);
  net->train = 0;
  for (int n = 0; n < images; ++n) {
    memcpy(net->input, values + (size_t)n * net->inputs, net->inputs * sizeof(float));
    forward_network(net);
    WriteOutputs(net);
    int count = 0;
    detection* found = get_network_boxes(net, net->w, net->h, threshold, 0.5f, NULL, 1, &count);
    const int classes = net->layers[net->n - 1].classes;
    do_nms_sort(found, count, classes, nms_threshold);
    float* rows = malloc(((size_t)count * classes + 1) * 6 * sizeof(float));
    size_t kept = 0;
    for (int i = 0; i < count; ++i) {
      for (int c = 0; c < classes; ++c) {
        if (!(found[i].prob[c] > 0)) continue;
        const box b = found[i].bbox;
        float* row = rows + 6 * kept++;
        row[0] = (b.x - b.w / 2) * net->w;
        row[1] = (b.y - b.h / 2) * net->h;
        row[2] = (b.x + b.w / 2) * net->w;
        row[3] = (b.y + b.h / 2) * net->h;
        row[4] = found[i].prob[c];
        row[5] = c;
      }
    }
    Write("detections", n, rows, 6 * kept);
    free(rows);
  }
}

int main(int argc, char** argv) {
  if (argc != 6) {
    fprintf(stderr, "darknet_pass train|detect|bias CFG WEIGHTS IN OUT\n");
    return 2;
  }
  network* net = load_network(argv[2], argv[3], 0);
  size_t count = 0;
  float* values = Read(argv[4], &count);
  if (!values || count != (size_t)net->batch * (net->inputs + net->truths)) {
    fprintf(stderr, "%s: %zu values do not fit %d images of %d and %d\n", argv[4], count, net->batch, net->inputs,
            net->truths);
    return 1;
  }
  out = fopen(argv[5], "wb");
  if (!out) return 1;
  if (strcmp(argv[1], "train") == 0) {
    Train(net, values);
  } else if (strcmp(argv[1], "bias") == 0) {
    KeepFromZero(net, values);
  } else {
    Detect(net, values, 0.1f, 0.45f);
  }
  return fclose(out);
}
