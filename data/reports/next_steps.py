"""What a user can type next, after a run or a sweep."""

from pathlib import Path

from data.values import Settings

RETAIL = """open {folder}/report.html    # the whole report
       python evaluate.py ckpt={folder}/model gate=true    # may it be deployed?
       make chat CKPT={folder}/model    # chat in the browser
       python train.py -m +experiment=base,job-0,job-1,job-2    # the published grid
       python train.py data=flipkart data.path=YOUR.csv    # your own rows
       make ui    # all runs, in the browser"""
LABELS = """python evaluate.py ckpt={folder}/model text="..."    # label a text
       python train.py -m +experiment={experiment} model=majority,keywords,tfidf,embedding,minilm data.path={path}
       python evaluate.py compare=[{data}]    # all models on this data side by side"""  # noqa: E501
INSTRUCTIONS = """open {folder}/report.html    # the whole report
       python evaluate.py ckpt={folder}/model path=YOUR.jsonl    # your own rows
       python evaluate.py ckpt={folder}/model gate=true    # may it be deployed?
       make ui    # all runs, in the browser"""
BY_TASK = {"retail": RETAIL, "labels": LABELS, "instructions": INSTRUCTIONS}


def next_steps(settings: Settings, experiment: str, folder: Path) -> str:
    """Commands that make sense after a run; empty if there are none for its task.

    Args:
        settings: fields of the configuration group `data`. folder: of the run.
    """
    template = BY_TASK.get(settings["task"])
    if template is None:
        return ""
    names = {"folder": folder, "experiment": experiment, "data": settings["name"], "path": settings["path"]}
    return f"next:  {template.format(**names)}"
