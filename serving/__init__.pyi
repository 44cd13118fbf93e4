from serving.client import RemoteModel as RemoteModel
from serving.images import read_photo as read_photo
from serving.reconstructor import Reconstruction as Reconstruction
from serving.reconstructor import Reconstructor as Reconstructor
