"""scikit-learn models that MLflow 3.17 refuses to log: the types to trust, named for the model at hand.

MLflow writes scikit-learn models in the skops format, which holds no code, and refuses a model with a type that skops does not vouch for. skops
0.16 vouches for most of scikit-learn, and not for the trees in a random forest, the kernels of a Gaussian process and some thirty more, so
``mlflow.sklearn.log_model(forest, "model")`` fails. Who logs a model has just made it, and trusts scikit-learn, since it runs. So the types that
are scikit-learn's, NumPy's and SciPy's own may be named to MLflow (``skops_trusted_types``), which records them with the model. Types of anyone
else are left to MLflow, which refuses them as before.

Where ``MLFLOW_UTILS_TRUST_SKLEARN`` is true in the environment of a process, each scikit-learn model that is saved there in the skops format is
handled so, without a change to the program: MLflow loads this module by the entry point ``mlflow.run_context_provider`` of this package whenever
it is imported. It does not concern models that autologging logs: for those MLflow itself asks for the cloudpickle format.
"""
from __future__ import annotations

import functools
import inspect
import os
from types import ModuleType
from typing import Any

VARIABLE = "MLFLOW_UTILS_TRUST_SKLEARN"
TRUSTED_PACKAGES = ("numpy", "scipy", "sklearn")


def trusted_types(model: object) -> list[str]:
    """The types within ``model`` that skops does not vouch for, and that belong to scikit-learn, NumPy or SciPy, for ``skops_trusted_types``.

    Serializes the model once, in memory. Raises what ``skops.io.dumps`` raises for a model that skops cannot write.
    """
    import skops.io  # noqa: PLC0415 - takes a second, and comes with mlflow, not with this package

    found = skops.io.get_untrusted_types(data=skops.io.dumps(model))
    return [name for name in found if name.partition(".")[0] in TRUSTED_PACKAGES]


def trust_sklearn(flavor: ModuleType) -> None:
    """Let ``flavor.save_model``, by which ``log_model`` saves too, trust ``trusted_types`` where the caller names none.

    MLflow's autologging asks for the cloudpickle format by itself, and is as it was. ``flavor`` is the module ``mlflow.sklearn``. A second call
    changes nothing.
    """
    save = flavor.save_model
    if hasattr(save, "trusts_sklearn"):
        return
    signature = inspect.signature(save)

    @functools.wraps(save)
    def save_model(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        if given.arguments.get("serialization_format") in (None, "skops") and given.arguments.get("skops_trusted_types") is None:
            try:
                given.arguments["skops_trusted_types"] = trusted_types(given.arguments["sk_model"]) or None
            except Exception:  # MLflow serializes it next, and says what is wrong
                return save(*args, **kwargs)
        return save(*given.args, **given.kwargs)

    save_model.trusts_sklearn = True  # type: ignore[attr-defined] # a mark for the next call
    flavor.save_model = save_model  # type: ignore[attr-defined] # a module's attributes are not declared


def asked_for() -> bool:
    """Whether the environment asks for it."""
    return os.environ.get(VARIABLE, "").strip().lower() in ("1", "true", "yes", "on")


class TrustSklearn:
    """What MLflow loads by the entry point, and makes one of; as a provider of tags it never has any.

    Where the environment asks for it, ``mlflow.sklearn`` is changed as soon as it is imported, which costs nothing in a process that never does.
    """

    def __init__(self) -> None:
        if asked_for():
            from mlflow.utils.import_hooks import register_post_import_hook  # noqa: PLC0415 - MLflow is being imported, and is wanted only then

            register_post_import_hook(trust_sklearn, "mlflow.sklearn", overwrite=True)

    def in_context(self) -> bool:
        """Never."""
        return False

    def tags(self) -> dict[str, str]:
        """None."""
        return {}
