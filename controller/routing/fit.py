"""How far a replica is off its step times, learned from what it really did; and how long the answers of a pool are.

Each correction is a factor, kept as a logarithm: an exponentially weighted mean of log(seen / said). One wild value
moves it little; several in a row on the same side are a change, and are followed at once. Without news a correction
fades, so that a replica that nobody asks any more gets another chance.
"""

from __future__ import annotations

from math import exp, inf, log, sqrt

GAIN_MIN = 1 / 16  # of a value against all before it, once there are many
CLIP = 0.1  # the most that one value moves it by, times the gain: close to a median, as TTFTs have a long tail
RUN_FREE = 3  # so many values in a row on one side are chance; each further one lets CLIP grow by itself
RUN_MAX = 8
CHANGE = log(1.6)
STREAK = 4  # so many surprises beyond CHANGE in a row on one side: the engine is another one now
STREAK_GAIN = 0.5
SETTLED = 4.0  # before so many values have been seen, each counts in full
LIMIT = log(64.0)
FADE_HALF_S = 30.0
FRESH_S = 30.0  # a value younger than this speaks for the present
TABLE_WEIGHT = 2.0  # measured step times count as so many values seen
LONG_SIGMAS = 4.0
LENGTHS_SEEN = 30.0  # answers before their spread means anything
PLANNED_TOKENS = 256.0  # the length of answers that nobody has seen yet
LENGTH_GAIN_MIN = 1 / 64


class Correction:
    """One factor between what a model says and what is seen."""

    __slots__ = ("_log", "_run", "_streak", "_weight", "factor", "seen_at_s", "seen_lately")

    def __init__(self, weight: float = TABLE_WEIGHT) -> None:
        self._weight = weight
        self._log = 0.0
        self._run = 0  # values in a row on one side, with its sign
        self._streak = 0  # of them in a row, those beyond CHANGE
        self.factor = 1.0
        self.seen_lately = 0.0  # values of the last half minute, roughly
        self.seen_at_s = float("-inf")

    def observe(self, said_s: float, seen_s: float, now_s: float) -> None:
        """One more value; `said_s` without this correction."""
        if said_s <= 0.0 or seen_s <= 0.0:
            return
        surprise = log(seen_s / said_s) - self._log
        gain = max(GAIN_MIN, 1.0 / (self._weight + 1.0))
        side = 1 if surprise > 0.0 else -1
        self._run = self._run + side if self._run * side > 0 else side
        self._streak = 0 if abs(surprise) <= CHANGE else self._streak + 1 if abs(self._run) > 1 else 1
        if self._streak >= STREAK:
            gain = max(gain, STREAK_GAIN)
        elif self._weight >= SETTLED:
            clip = CLIP * min(RUN_MAX, max(1, abs(self._run) - RUN_FREE))
            surprise = max(-clip, min(clip, surprise))
        self._weight += 1.0
        self._set(self._log + gain * surprise)
        self.seen_at_s = now_s
        self.seen_lately += 1.0

    def fade(self, elapsed_s: float, now_s: float) -> None:
        """Time has passed: without fresh values the factor goes back towards 1."""
        kept = 0.5 ** (elapsed_s / FADE_HALF_S)
        self.seen_lately *= kept
        if now_s - self.seen_at_s > FRESH_S and self._log != 0.0:
            self._set(self._log * kept)
            self._weight = min(self._weight, TABLE_WEIGHT)

    def doubt(self) -> None:
        """What was seen is old: the next value counts in full, and there is none of late."""
        self._weight, self._run, self._streak, self.seen_lately = 0.0, 0, 0, 0.0

    def _set(self, value: float) -> None:
        self._log = max(-LIMIT, min(LIMIT, value))
        self.factor = exp(self._log)


class EngineFit:
    """The corrections of one replica: computing prompts, writing tokens, and waiting for room."""

    __slots__ = ("decode", "prefill", "wait")

    def __init__(self, *, measured: bool = True) -> None:
        weight = TABLE_WEIGHT if measured else 0.0
        self.prefill = Correction(weight)
        self.decode = Correction(weight)
        self.wait = Correction(TABLE_WEIGHT)

    def ttft_s(self, wait_s: float, prefill_s: float) -> float:
        """The corrected prediction from its two parts."""
        predicted_s = prefill_s * self.prefill.factor
        return predicted_s + wait_s * self.decode.factor * self.wait.factor if wait_s else predicted_s

    def saw_ttft(self, wait_s: float, prefill_s: float, ttft_s: float, now_s: float) -> None:
        """A first token came after `ttft_s`; whichever part was said to be the larger one answers for the error."""
        waited_s = wait_s * self.decode.factor
        corrected_wait_s, corrected_prefill_s = waited_s * self.wait.factor, prefill_s * self.prefill.factor
        least_s = 0.1 * ttft_s
        if corrected_wait_s > corrected_prefill_s:
            self.wait.observe(waited_s, max(least_s, ttft_s - corrected_prefill_s), now_s)
        else:
            self.prefill.observe(prefill_s, max(least_s, ttft_s - corrected_wait_s), now_s)

    def saw_whole(self, wait_s: float, prefill_s: float, decode_s: float, e2e_s: float, now_s: float) -> None:
        """A whole answer came after `e2e_s` and nothing was heard before; the larger part answers for the error."""
        first_s, rest_s = self.ttft_s(wait_s, prefill_s), decode_s * self.decode.factor
        if rest_s > first_s:
            self.decode.observe(decode_s, max(0.1 * e2e_s, e2e_s - first_s), now_s)
        else:
            self.saw_ttft(wait_s, prefill_s, max(0.1 * e2e_s, e2e_s - rest_s), now_s)

    def doubt(self) -> None:
        """What is known of the replica is old, and a request goes there to see."""
        self.prefill.doubt()
        self.decode.doubt()
        self.wait.doubt()

    def fade(self, elapsed_s: float, now_s: float) -> None:
        """Time has passed."""
        self.prefill.fade(elapsed_s, now_s)
        self.decode.fade(elapsed_s, now_s)
        self.wait.fade(elapsed_s, now_s)


class AnswerLengths:
    """Output tokens of a pool's answers: mean, and mean square for what is left of one that is under way.

    `prompt_ratio`: tokens of prompts computed for each token of an answer; 0 until an answer has been seen.
    """

    __slots__ = ("_mean", "_prompt_mean", "_square", "_weight", "prompt_ratio", "remaining_tokens")

    def __init__(self) -> None:
        self._weight = 0.0
        self._mean = PLANNED_TOKENS
        self._square = PLANNED_TOKENS * PLANNED_TOKENS
        self.remaining_tokens = self._square / (2.0 * self._mean)
        self._prompt_mean = self.prompt_ratio = 0.0

    def saw(self, output_tokens: int, prompt_tokens: int = 0) -> None:
        """One more answer, with so many tokens of its prompt that were not in the prefix cache."""
        gain = max(LENGTH_GAIN_MIN, 1.0 / (self._weight + 1.0))
        self._weight += 1.0
        self._mean += gain * (output_tokens - self._mean)
        self._square += gain * (output_tokens * output_tokens - self._square)
        self._prompt_mean += gain * (prompt_tokens - self._prompt_mean)
        self.prompt_ratio = self._prompt_mean / max(1.0, self._mean)
        # The mean rest of an interval that somebody looks into at random: half of E[L^2] / E[L].
        self.remaining_tokens = max(1.0, self._square / (2.0 * max(1.0, self._mean)))

    @property
    def long_tokens(self) -> float:
        """A length that hardly any answer passes; infinite until enough have been seen."""
        if self._weight < LENGTHS_SEEN:
            return inf
        return self._mean + LONG_SIGMAS * sqrt(max(0.0, self._square - self._mean * self._mean))
