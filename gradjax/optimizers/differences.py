"""Where the numbers of an optimizer are not those of its paper or of PyTorch.

`tests/optimizers/test_papers.py` computes 100 steps of each optimizer by the recurrence
of its paper with these differences. `docs/optimizers.md` shows the same lines.
"""

DIFFERENCES: dict[str, str] = {
    "acprop": "the error is g - m with the m of the step before, so s is larger by 1 /"
    " b1^2; s is corrected for its bias; the first step is that of gradient descent;"
    " eps_root is added to s in each step",
    "adabelief": "eps_root is the eps of the paper, which is added to s in each step;"
    " eps is another one, outside the root",
    "adadelta": "the rate, 1 in the paper, multiplies the step; weight decay is"
    " coupled: it is added to the gradient",
    "adafactor": "the rate is given and does not fall as 1 / sqrt(t); matrices with a"
    " side below min_dim_size_to_factor=128 are not factored; the decay of v is"
    " computed in float32",
    "adagrad": "the sum of squares starts at 0.1, in the paper and in PyTorch at 0;"
    " eps is inside the root, there outside",
    "adamax": "eps is added to |g|, as in PyTorch; the paper has none",
    "adamaxw": "as adamax; the weight decay is multiplied by the rate, in the paper by"
    " the schedule alone",
    "adamw": "the weight decay is multiplied by the rate, in the paper by the schedule"
    " alone, as in PyTorch; the default is 1e-4, in PyTorch 1e-2",
    "adan": "b1, b2 and b3 are 1 minus the paper's; the three means are corrected for"
    " their bias, as in the authors' code; eps_root is a second eps, inside the root;"
    " weight decay is that of AdamW, in the paper a division by 1 + rate decay",
    "ademamix": "alpha and b3 are constants, in the paper they rise over the run",
    "amsgrad": "the maximum is that of v corrected for its bias; with"
    " max_before_correction=True it is that of v, as in PyTorch and Keras; the paper"
    " has no bias correction: bias_correction_mu=False, bias_correction_nu=False",
    "cocob": "the rate multiplies the gradient; the paper has no rate",
    "dadapt_adamw": "the rate is multiplied by Adam's bias correction; the product of"
    " g and s is weighted by the v of the step before, as in the authors' code",
    "dowg": "eps is added to the root; the first estimate of the squared distance is"
    " eps",
    "dpsgd": "batches follow the order of the data set; the paper draws each example"
    " with a probability",
    "fromage": "norms below min_norm=1e-6 count as min_norm",
    "galore": "the longer side of a matrix is projected, in the paper the shorter one;"
    " scale is 1, in the paper 0.25; singular vectors are computed in float32",
    "kron": "see the docstring in gradjax/optimizers/kron.py",
    "lamb": "a layer whose norm or update is 0 has a trust ratio of 1",
    "lars": "the trust ratio divides by |g + decay x|, in the paper by |g| + decay"
    " |x|; a layer whose norm is 0 has a trust ratio of 1",
    "lbfgs": "the first direction is divided by the norm of the gradient if that is"
    " above 1; the step is found by a zoom line search",
    "lion": "the weight decay is multiplied by the rate, as in the paper; the default"
    " is 1e-3",
    "madgrad": "the rate is the rate plus eps, as in the authors' code; weight decay"
    " is coupled",
    "muon": "Nesterov's momentum is that of nadam, in the original g + beta m; a"
    " matrix is scaled by sqrt(max(1, columns / rows)); other leaves follow AdamW"
    " with Nesterov's momentum",
    "nadam": "the momentum is b1 in every step; momentum_decay=0.004 is the schedule"
    " of the paper and of PyTorch",
    "nadamw": "the momentum is b1 in every step; momentum_decay=0.004 is the schedule"
    " of PyTorch; the weight decay is multiplied by the rate, in the paper by the"
    " schedule alone",
    "optimistic_adam": "Nesterov's momentum, nesterov=False is the paper's; the"
    " optimism does not follow the schedule of the rate",
    "optimistic_adam_v2": "Nesterov's momentum, nesterov=False is the paper's",
    "optimistic_gradient_descent": "the gradient before the first one is the first one",
    "prodigy": "the rate is multiplied by Adam's bias correction, which is off in the"
    " authors' code",
    "radam": "the warm-up ends at rho >= 5, as in the authors' code, in the paper at"
    " rho > 4",
    "rmsprop": "eps is inside the root, in PyTorch outside: eps_in_sqrt=False; decay"
    " is 0.9, in PyTorch 0.99; with momentum the rate is inside of the velocity",
    "rprop": "optax applies each update one step late; here it is applied at once, as"
    " in PyTorch; the rate multiplies all step sizes and their bounds",
    "schedule_free_adamw": "v is corrected for its bias; the weight of a step is the"
    " square of the largest rate so far",
    "schedule_free_sgd": "the weight of a step is the square of the largest rate so"
    " far",
    "sgd": "the rate is outside of the velocity, as in PyTorch; in the paper it is"
    " inside, which differs under a schedule",
    "sm3": "momentum is a mean of the scaled gradients; eps=1e-8 is inside the root",
    "soap": "see the docstring in gradjax/optimizers/soap.py",
    "sophia": "the curvature is that of the step before, so the first step is that of"
    " the sign; m is corrected for its bias",
    "yogi": "both moments start at 1e-6, and are corrected for their bias",
}
