// What has to hold for every detector; each adds gtest failures.
#ifndef TRIREME_TESTS_MODELS_TESTING_DETECTOR_CHECKS_H_
#define TRIREME_TESTS_MODELS_TESTING_DETECTOR_CHECKS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/models/testing/model_fixture.h"

namespace trireme {

float Total(const std::vector<float>& losses);

// Finite, and not all zero. After Step.
void ExpectEveryParameterHasAGradient(TestModel& model);

// Along each parameter's own gradient, where the change is largest, the loss has to change by the gradient's norm.
// `relative` is of the norm; `change` is how far the loss is moved at most.
// Parameters whose names begin with `but`, if it is not empty, are left out.
void ExpectGradientIsTheSlope(TestModel& model, const Batch& batch, double relative = 0.03, double change = 2e-3,
                              const std::string& but = "");

// Every object of the batch is among the detections.
void ExpectFindsObjects(TestModel& model, const Batch& batch);

// A batch of four images, one of them without objects, among 2 and 4 workers that really meet: losses and gradients add
// up to those of one worker, and buffers are alike. `make` gives the same model every time, one whose norms are frozen
// or synchronised.
void ExpectWorkersAddUp(const std::function<std::unique_ptr<TestModel>()>& make);

// In 16 bits, losses and the gradients' direction and length are those of float32 but for rounding.
void Expect16BitsToBeClose(const std::function<std::unique_ptr<TestModel>(Precision)>& make);

}  // namespace trireme

#endif  // TRIREME_TESTS_MODELS_TESTING_DETECTOR_CHECKS_H_
