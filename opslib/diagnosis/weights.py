"""Every threshold and weight of the diagnosis, in one place, with its reason.

Two things must hold before a difference counts: it is beyond chance (FALSE_ALARM over all tests made), and it is large
enough that an operator would act on it (the floors below). The same values serve every source. Those marked "tuned"
were chosen while looking at public incident captures (Online Boutique, PetShop), so accuracy on these is no held-out
figure.
"""

from __future__ import annotations

# --- beyond chance -----------------------------------------------------------------------------------------------
# tuned: the chance that a comparison of two alike windows names any difference, over all its tests
FALSE_ALARM = 0.01
MIN_CALLS = 20  # calls of the service in each window below which nothing is said (the contract's)

UNTIMED_SHARE = 0.25  # of the spans, without a duration that can be, above which no times are compared
MOST_OPERATIONS = (
    1_000  # of all places together that are compared, so that names with ids in them cost a bounded time
)
COHORT_CALLS = 10  # units of a version or pod, and of its others, below which they are not compared

# --- large enough ------------------------------------------------------------------------------------------------
SLOWER_RATIO = 2.0  # calls as a whole, where no part stands out: twice as slow
ONSET_RATIO = 1.4  # calls before and after an onset, in the mean, at the median or at the ninth decile
SLOWER_Z = 5.0  # and that beyond chance, allowing for calls alike in time
SLOWER_NS = 1_000_000  # and at least 1 ms: below that no user and no SLO notices
CHANGED_RATIO = (
    3.0  # after a change point for the worse nobody says "no anomaly" where calls are three times as slow
)
CHANGED_FAILING = 0.1  # or one in ten more fails
FEW_CALLS = 100  # in either window: then more calls would tell which part it is
PART_RATIO = 1.5  # one piece of work or wait: half as much again
PART_SHARE = 0.10  # and a tenth of the duration of the calls that it is in
FAILING_SHARE = 0.01  # one call in a hundred more fails
COMMON_MATTERS = 1.0  # logarithm: what all share must be exceeded by as much again, at most by the factor e
MOST_PERCENT = 60.0  # unless it is this much of all added time
STRUCTURE_CHANGE = 0.15  # tuned: calls per parent call: more or fewer by 15 % of the larger rate
STRUCTURE_SHARE = 0.02  # tuned: one parent span in fifty calls something else than before

# --- how strong a clue is, 0 to 1 --------------------------------------------------------------------------------
HALF_SHARE = 0.25  # an added quarter of the call's duration is half of what a clue can say
HALF_LOG_RATIO = 1.0  # so is a growth by the factor e
SHARE_MATTERS = 0.25  # tuned: this part of a time clue's strength depends on its share of all added time
SMOOTHING_NS = 500_000  # ratios of times well below a millisecond mean little
HALF_FAILING = 0.05  # five more failed calls in a hundred are half
HALF_STRUCTURE = 0.1  # tuned: so are calls per parent call that changed by a tenth
SILENCE = 0.2  # an edge lost its answers when one wait in five more has none
NEXT_TO_ABSENT = 0.1  # tuned: a shape is new when its share was less than a tenth of what it is
MIXED = 0.5  # known shapes that only change their shares may be other requests
MIXED_BELOW = 0.1  # and surely are where a caller above changed what it asks for

HALF_LOG_RATE = 0.1  # so is one more line in every ten calls

LOUD = 0.2  # of what logs say, where traces blame another and show the one that logs as before
STOPPED = 0.3  # of what a wait says whose caller was itself held up
STOPPED_SHARE = 0.5  # as one is that added to its own work half of what it added to any of its waits
STOPPED_INTO = 0.35  # and to the waits into it a third: of these it holds up one end, of those out of it both

LOG_RATIO = 2.0  # a pattern has risen when it comes twice as often
METRIC_RATIO = 1.25  # a metric has shifted when its median moved by a quarter
METRIC_Z = 4.0  # and by four spreads of its baseline
METRIC_EITHER_WAY = 0.4  # of what a metric can say whose name does not tell which way is bad
POOL_RATIO = 1.5  # a pool is fuller, or waited for longer, when its mean grew by half
POOL_BEYOND = 0.3  # and three samples in ten lie beyond all of the baseline
CHANGE_REACH = 1.0  # changes count from this many lengths of the incident before its start

# tuned: the weight of metrics; the others say how directly a family of clues points at its cause
WEIGHT = {
    "time": 1.0, "errors": 1.0, "release": 1.0, "structure": 0.8, "log": 0.5, "metric": 0.3, "event": 0.3, "pod": 0.3,
}  # fmt: skip

TIED = 0.01  # scores nearer than this rank nobody

LEAST = 0.01  # what says less is not mentioned

# --- for whom ----------------------------------------------------------------------------------------------------
SCOPE_CALLS = 10  # slow and normal calls below which they are not compared
SCOPE_TRACES = 500  # traces of each side that are looked at, a fixed sample
SCOPE_NORMAL = 0.1  # normal calls are taken from the incident where at least one in ten is
SCOPE_OFTEN = 5  # calls that bear a value below which it is none of the tests
SCOPE_DIFFERENCE = 0.15  # of the shares among slow and normal calls
SCOPE_RATIO = 1.5  # and of these, one over the other

# --- words -------------------------------------------------------------------------------------------------------
HIGH, MEDIUM = 0.5, 0.25  # score from which confidence is high or medium
ALIKE = 4.0  # edges rose alike when the largest added time is at most this many times the smallest
N_SLOTS = 10  # time slots of a window, from which the autocorrelation of calls is estimated
F_BY_CHANCE = 1.5  # what the F statistic of that many slots of independent calls seldom exceeds
