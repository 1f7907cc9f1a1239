"""Where models, runs and prepared data are found by name (a path, an MLflow run, a registered model), and where models are registered."""

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

RUN_ID = re.compile(r"[0-9a-f]{32}")  # of MLflow
NO_CHAMPION = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # no such model; no such alias


def safe(text: object) -> str:
    """A message without the user and the password that an address in it holds."""
    return re.sub(r"://[^\s/@]+@", "://***@", str(text))


def tracking_uri(given: str, outputs: Path) -> str:
    """The tracking server: as given, else MLFLOW_TRACKING_URI, else a SQLite file in the outputs folder."""
    return given or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{outputs.resolve() / 'mlflow.db'}"


def exported_in(folder: Path) -> Path:
    """The exported model somewhere in a folder. Raises ValueError if there is none."""
    found = next(folder.rglob("run.json"), None)
    if found is None:
        raise ValueError(f"{folder} holds no exported model (there is no run.json)")
    return found.parent


def locate(ckpt: str, outputs: Path) -> Path:
    """What ``ckpt`` names, as a path; an MLflow run's or a registered model is fetched. Raises ValueError if there is none."""
    if Path(ckpt).exists():
        return Path(ckpt)
    registered = ckpt.startswith("models:/")
    if not registered and not RUN_ID.fullmatch(ckpt):
        raise ValueError(
            f"ckpt={ckpt}: there is no such file or folder, and it is not the id of an MLflow run (32 hex digits) or models:/NAME@ALIAS"
        )
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    uri = tracking_uri("", outputs)
    try:
        if registered:
            import mlflow

            mlflow.set_tracking_uri(uri)  # names of models are looked up there, whatever address the download is given
            return exported_in(Path(download_artifacts(ckpt, tracking_uri=uri)))
        return Path(download_artifacts(run_id=ckpt, artifact_path="model", tracking_uri=uri))
    except (MlflowException, OSError) as error:
        raise ValueError(safe(f"ckpt={ckpt}: MLflow at {uri} has no exported model for it ({str(error).splitlines()[0]})")) from None


def data_of(run_id: str, outputs: Path, place: Path) -> Path:
    """The prepared data that an MLflow run used, fetched into ``place``. Raises ValueError if it has none."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    uri = tracking_uri("", outputs)
    try:
        return Path(download_artifacts(run_id=run_id, artifact_path="data", dst_path=str(place), tracking_uri=uri))
    except (MlflowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(safe(f"data.version={run_id}: MLflow at {uri} has no prepared data of this run ({reason})")) from None


def log_page(run_id: str, folder: Path, outputs: Path) -> None:
    """Give an MLflow run the page that it stands on."""
    from architectures.tracking import client_of

    client_of(tracking_uri("", outputs)).log_artifacts(run_id, str(folder), "comparison")


def fetched_runs(run_id: str, outputs: Path) -> list[Path]:
    """What MLflow keeps of a run, or of all runs under it, as folders. Raises ValueError if it knows no such evaluated run."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    from architectures.tracking import client_of

    uri = tracking_uri("", outputs)
    try:
        client = client_of(uri)
        run = client.get_run(run_id)
        children = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'", order_by=["start_time ASC"])
        found = []
        for one in children or [run]:
            folder = outputs / "cache" / f"mlflow-{one.info.run_id}"
            there = {item.path for item in client.list_artifacts(one.info.run_id)}
            if "scores.json" in there:
                for name in sorted(there & {"scores.json", "predictions.parquet", "results.json", "metrics.jsonl", "config.yaml", "model"}):
                    download_artifacts(run_id=one.info.run_id, artifact_path=name, dst_path=str(folder), tracking_uri=uri)
                found.append(folder)
    except (MlflowException, OSError) as error:
        raise ValueError(safe(f"compare={run_id}: MLflow at {uri}: {str(error).splitlines()[0]}")) from None
    if not found:
        raise ValueError(safe(f"compare={run_id}: MLflow at {uri} has no evaluated run there"))
    return found


def champion_of(name: str, outputs: Path) -> str:
    """The registered model in use, as `ckpt` takes it; '' if there is none. Raises ValueError if the server does not say."""
    from mlflow.exceptions import MlflowException

    from architectures.tracking import client_of

    try:
        client_of(tracking_uri("", outputs)).get_model_version_by_alias(name, "champion")
    except MlflowException as error:
        if error.error_code in NO_CHAMPION:
            return ""
        raise ValueError(
            f"MLflow at {safe(tracking_uri('', outputs))} does not say which {name} is the champion ({safe(error).splitlines()[0][:200]});"
            " incumbent=null compares with none"
        ) from None
    return f"models:/{name}@champion"


@dataclass(frozen=True)
class Card:
    """What the registry is told of a model: a text, tags (with its digest and that of its data), where its data is and how many rows of
    it were judged, and the module, code and requirements that answer with it."""

    text: str
    tags: dict[str, str]
    source: str
    rows: int
    module: str
    code: list[Path]
    requirements: Path


def register(card: Card, model: Path, folder: Path, name: str, alias: str, outputs: Path) -> str:
    """Log the model with its report (in ``folder``), lineage and card to MLflow and register it; its version.

    It is logged as files with the code that reads them, never pickled. What the registry gives back must have the digest that was
    judged; else the version is taken back. Raises ValueError.
    """
    import mlflow
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    from architectures.backends import model_digest
    from architectures.tracking import client_of, dataset_input, experiment_id

    uri = tracking_uri("", outputs)
    tags = card.tags
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place) / "model"
        shutil.copytree(model, whole)
        (whole / "README.md").write_text(card.text, encoding="utf-8")
        try:
            client = client_of(uri)
            mlflow.set_tracking_uri(uri)
            with mlflow.start_run(experiment_id=experiment_id(client, "strata", uri), run_name=f"registered {name}", tags=tags) as started:
                mlflow.log_artifacts(str(folder), "evaluation")
                source = dataset_input(tags["data"], tags["data_digest"], card.source, card.rows)
                client.log_inputs(started.info.run_id, datasets=[source])
                logged = mlflow.pyfunc.log_model(
                    name="model",
                    loader_module=card.module,
                    data_path=str(whole),
                    code_paths=[str(part) for part in card.code],
                    pip_requirements=str(card.requirements),
                    registered_model_name=name,
                )
            version = str(logged.registered_model_version)
            for key, value in tags.items():
                client.set_model_version_tag(name, version, key, value)
            client.update_model_version(name, version, card.text)
            there = model_digest(exported_in(Path(download_artifacts(f"models:/{name}/{version}", tracking_uri=uri))))
            if there != tags["model_digest"]:
                client.delete_model_version(name, version)
                raise ValueError(f"the registry gave back another model (digest {there}) than was judged ({tags['model_digest']})")
            client.set_registered_model_alias(name, alias, version)
        except (MlflowException, OSError) as error:
            raise ValueError(safe(f"MLflow at {uri} could not register {name}: {str(error).splitlines()[0]}")) from None
    return version
